{{/*
The pod, whatever runs it. Takes a dict: root, the arguments of ocync as `args`, and `restartPolicy` unless it is a
Deployment's.
*/}}
{{- define "ocync.pod" -}}
{{- $values := .root.Values -}}
{{- with $values.podSecurityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{ end -}}
serviceAccountName: {{ include "ocync.serviceAccountName" .root }}
automountServiceAccountToken: {{ include "ocync.automount" .root }}
{{- /* Otherwise every Service of the namespace adds variables, and one might be a name that the config uses. */}}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds | int64 }}
{{- with .restartPolicy }}
restartPolicy: {{ . }}
{{- end }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: ocync
    {{- include "ocync.container" . | nindent 4 }}
volumes:
  - name: config
    configMap:
      name: {{ include "ocync.fullname" .root }}
  - name: tmp
    emptyDir: {{ include "ocync.withoutEmpty" $values.tmp }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "ocync.container" -}}
{{- $values := .root.Values -}}
image: {{ include "ocync.image" .root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args:
  {{- toYaml .args | nindent 2 }}
{{- with $values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- /* ocync writes its summary to the termination log; the logs stand in when it was killed before it could. */}}
terminationMessagePolicy: FallbackToLogsOnError
{{- if not .restartPolicy }}
ports:
  - name: health
    containerPort: {{ $values.watch.healthPort | int64 }}
    protocol: TCP
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  timeoutSeconds: 5
{{- end }}
{{- with $values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/ocync
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A pod template: metadata and spec. What the chart needs to find and identify pods wins over labels of the user. */}}
{{- define "ocync.podTemplate" -}}
{{- $values := .root.Values -}}
{{- $labels := include "ocync.selectorLabels" .root | fromYaml -}}
{{- if eq $values.workloadIdentity.provider "azure" -}}
{{- $_ := set $labels "azure.workload.identity/use" "true" -}}
{{- end -}}
{{- $annotations := deepCopy ($values.podAnnotations | default dict) -}}
{{- if not .restartPolicy -}}
{{- $_ := set $annotations "checksum/config" (include "ocync.config" .root | sha256sum) -}}
{{- end -}}
metadata:
  labels:
    {{- merge $labels ($values.podLabels | default dict) ($values.commonLabels | default dict) | toYaml | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "ocync.pod" . | nindent 2 }}
{{- end -}}

{{/* The spec of a Job, for `job` and `cronjob` alike. */}}
{{- define "ocync.jobSpec" -}}
{{- $job := .Values.job -}}
{{- $args := concat (list "sync") (include "ocync.args" . | fromYamlArray) -}}
backoffLimit: {{ $job.backoffLimit | int64 }}
{{- with $job.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ . | int64 }}
{{- end }}
{{- if not (kindIs "invalid" $job.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ $job.ttlSecondsAfterFinished | int64 }}
{{- end }}
{{- with $job.podFailurePolicy }}
podFailurePolicy:
  {{- toYaml . | nindent 2 }}
{{- end }}
template:
  {{- include "ocync.podTemplate" (dict "root" . "args" $args "restartPolicy" "Never") | nindent 2 }}
{{- end -}}

{{/* The arguments behind `sync` or `watch`; the user's come last and so win. */}}
{{- define "ocync.args" -}}
- --config
- /etc/ocync/config.yaml
- --log-format
- {{ .Values.logging.format }}
- --grace-period
- {{ include "ocync.gracePeriod" . | quote }}
{{- if eq .Values.mode "cronjob" }}
- --schedule
- {{ .Values.cronjob.schedule | quote }}
{{- else if eq .Values.mode "watch" }}
- --interval
- {{ .Values.watch.interval | int64 | quote }}
- --health-port
- {{ .Values.watch.healthPort | int64 | quote }}
- --health-bind
- {{ .Values.watch.healthBind | quote }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | toString | quote }}
{{- end }}
{{- end -}}

{{- define "ocync.image" -}}
{{- $image := .Values.image -}}
{{- if and $image.digest (not $image.tag) -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* ocync never calls the Kubernetes API. Vault's injector takes the token from the mount it finds in the pod. */}}
{{- define "ocync.automount" -}}
{{- $chosen := .Values.serviceAccount.automount -}}
{{- if kindIs "invalid" $chosen -}}
{{- $vault := get (.Values.podAnnotations | default dict) "vault.hashicorp.com/agent-inject" -}}
{{- $chosen = or (has .Values.workloadIdentity.provider (list "aws" "gcp" "azure")) (eq (toString $vault) "true") -}}
{{- end -}}
{{- $chosen -}}
{{- end -}}

{{- define "ocync.withoutEmpty" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if $value -}}
{{- $_ := set $kept $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $kept -}}
{{- end -}}

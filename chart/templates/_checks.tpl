{{/*
What a schema can't tell. Included by the ConfigMap, which is always rendered, so that a mistake stops the installation
with a sentence about it and not a pod hours later.
*/}}
{{- define "ocync.checks" -}}
{{- if not .Values.config -}}
{{- fail "config is empty; name at least registries, defaults and mappings, as in a config file of ocync" -}}
{{- end -}}
{{- include "ocync.checkSecrets" . -}}
{{- include "ocync.checkTimes" . -}}
{{- include "ocync.checkIdentity" . -}}
{{- include "ocync.checkSecretSources" . -}}
{{- if and .Values.metrics.serviceMonitor.enabled (ne .Values.mode "watch") -}}
{{- fail (printf "metrics.serviceMonitor.enabled needs mode watch, and mode is %s: a run that ends is not there to be scraped; set metrics.pushgateway.url" .Values.mode) -}}
{{- end -}}
{{- $push := include "ocync.pushgateway" . | fromYaml -}}
{{- $byVariable := or .Values.envFrom (has "OCYNC_PUSHGATEWAY_URL" (include "ocync.variables" . | fromYamlArray)) -}}
{{- if and $push (not (or $push.url $byVariable)) -}}
{{- fail "metrics.pushgateway has settings and no url; set metrics.pushgateway.url, or OCYNC_PUSHGATEWAY_URL by env or envFrom" -}}
{{- end -}}
{{- end -}}

{{- define "ocync.checkTimes" -}}
{{- $deadline := include "ocync.deadline" . -}}
{{- if and $deadline (not (hasKey (.Values.config.global | default dict) "deadline")) (lt (int64 $deadline) 1) -}}
{{- fail (printf "job.activeDeadlineSeconds (%d) leaves no time to work before terminationGracePeriodSeconds (%d); raise the one or lower the other" (int64 .Values.job.activeDeadlineSeconds) (int64 .Values.terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- end -}}

{{- define "ocync.checkIdentity" -}}
{{- $identity := .Values.workloadIdentity -}}
{{- $needed := dict "aws" "roleArn" "gcp" "serviceAccount" "azure" "clientId" -}}
{{- with get $needed $identity.provider -}}
{{- if not (get (get $identity $identity.provider | default dict) .) -}}
{{- fail (printf "workloadIdentity.%s.%s is required when workloadIdentity.provider is %s" $identity.provider . $identity.provider) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ocync.checkSecretSources" -}}
{{- $class := .Values.secretProviderClass -}}
{{- if and $class.enabled (not $class.provider) -}}
{{- fail "secretProviderClass.provider is required when secretProviderClass.enabled is true: aws, azure, gcp, vault or another that is installed" -}}
{{- end -}}
{{- $external := .Values.externalSecrets -}}
{{- if $external.enabled -}}
{{- $wanted := concat ($external.data | default list) ($external.dataFrom | default list) -}}
{{- if not $wanted -}}
{{- fail "externalSecrets.data or externalSecrets.dataFrom is required when externalSecrets.enabled is true: it says what to fetch" -}}
{{- end -}}
{{- range $wanted -}}
{{- if not (or $external.secretStoreRef .sourceRef) -}}
{{- fail "externalSecrets.secretStoreRef is required when externalSecrets.enabled is true, as {name: ..., kind: SecretStore} or ClusterSecretStore" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* No secret may be written out in values: it would land in a ConfigMap, and in Helm's record of the release. */}}
{{- define "ocync.checkSecrets" -}}
{{- range $name, $registry := .Values.config.registries -}}
{{- $path := list "config" "registries" $name -}}
{{- if kindIs "map" $registry -}}
{{- include "ocync.checkSecret" (dict "path" (concat $path (list "token")) "owner" $name "value" $registry.token) -}}
{{- include "ocync.checkSecret" (dict "path" (concat $path (list "credentials" "password")) "owner" $name "value" ($registry.credentials | default dict).password) -}}
{{- include "ocync.checkUrl" (dict "path" (concat $path (list "url")) "url" $registry.url) -}}
{{- end -}}
{{- end -}}
{{- $inner := (.Values.config.metrics | default dict).pushgateway | default dict -}}
{{- $outer := .Values.metrics.pushgateway | default dict -}}
{{- range $prefix, $push := dict "config.metrics.pushgateway" $inner "metrics.pushgateway" $outer -}}
{{- $path := splitList "." $prefix -}}
{{- include "ocync.checkSecret" (dict "path" (concat $path (list "password")) "owner" "pushgateway" "value" $push.password) -}}
{{- include "ocync.checkUrl" (dict "path" (concat $path (list "url")) "url" $push.url) -}}
{{- end -}}
{{- end -}}

{{/* Nothing but references may stand here, and a reference may not bring a default of its own. */}}
{{- define "ocync.checkSecret" -}}
{{- if and (kindIs "string" .value) .value (not (regexMatch "^([$][{][^{}:]+(:-|:[?][^{}]*)?[}])+$" .value)) -}}
{{- $variable := regexReplaceAll "[^A-Z0-9]+" (printf "%s_%s" .owner (last .path) | upper) "_" -}}
{{- $shown := printf "%s: ${%s}" (last .path) $variable -}}
{{- range $depth := untilStep (sub (len .path) 2 | int) -1 -1 -}}
{{- $shown = printf "%s:\n%s" (index $.path $depth) (indent 2 $shown) -}}
{{- end -}}
{{- fail (printf "%s holds a secret written out. It would stand in a ConfigMap for all to read. Put it into a Secret and name it here:\n\n%s\nenvFrom:\n  - secretRef:\n      name: ocync-credentials\n\nwith: kubectl create secret generic ocync-credentials --from-literal=%s=...\n" (join "." .path) $shown $variable) -}}
{{- end -}}
{{- end -}}

{{/* References are taken out first; what then still stands before an @ was written out. */}}
{{- define "ocync.checkUrl" -}}
{{- if and (kindIs "string" .url) (not (hasPrefix "oci:" (toString .url))) -}}
{{- $literal := regexReplaceAll "[$][{][^{}]*[}]" .url "" -}}
{{- if regexMatch "^([A-Za-z][A-Za-z0-9+.-]*://)?([^/:@]+|[^/:@]*:[^/@]+)@" $literal -}}
{{- fail (printf "%s holds credentials written out. They would stand in a ConfigMap for all to read. Leave the bare host, and give username and password as ${VARIABLE}s from a Secret:\n\nenvFrom:\n  - secretRef:\n      name: ocync-credentials\n" (join "." .path)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

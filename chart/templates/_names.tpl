{{/*
Names and labels.

A CronJob's name may have 52 characters: Kubernetes appends eleven for each Job. What is longer is cut and gets a
hash of the whole, so that two releases whose names begin alike stay apart.
*/}}

{{- define "ocync.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "ocync.fullname" -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full = contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- if gt (len $full) 52 -}}
{{- $full = printf "%s-%s" (trunc 43 $full | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{- define "ocync.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "ocync.fullname" .) "default") -}}
{{- end -}}

{{- define "ocync.secretName" -}}
{{- (.Values.externalSecrets.target | default dict).name | default (include "ocync.fullname" .) -}}
{{- end -}}

{{/* The labels that select pods; they never change within the life of a release. */}}
{{- define "ocync.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ocync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of every object, as YAML; a common label never replaces one of the chart's. */}}
{{- define "ocync.labels" -}}
{{- $own := include "ocync.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{/* The metadata of an object. Takes a dict: root, and if wanted annotations and labels to add. */}}
{{- define "ocync.metadata" -}}
name: {{ .name | default (include "ocync.fullname" .root) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge (include "ocync.labels" .root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A Job can't be changed once it exists, so each change of what it runs, its configuration included, makes a new one. */}}
{{- define "ocync.jobName" -}}
{{- $content := printf "%s\n%s" (include "ocync.config" .) (include "ocync.jobSpec" .) -}}
{{- printf "%s-%s" (include "ocync.fullname" .) (sha256sum $content | trunc 8) -}}
{{- end -}}

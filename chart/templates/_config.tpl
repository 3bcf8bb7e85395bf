{{/* The configuration as the pod reads it: the user's, with what only the chart knows filled in where it is unset. */}}
{{- define "ocync.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $global := $config.global | default dict -}}
{{- if not (hasKey $global "cache_dir") -}}
{{- $_ := set $global "cache_dir" "/tmp/ocync-cache" -}}
{{- end -}}
{{- /* What is staged in memory counts against the pod's limit, which it would exceed: the source is read again instead. */}}
{{- if and (eq (.Values.tmp | default dict).medium "Memory") (hasPrefix "/tmp/" (toString $global.cache_dir)) (not (hasKey $global "staging_size_limit")) -}}
{{- $_ := set $global "staging_size_limit" 0 -}}
{{- end -}}
{{- $deadline := include "ocync.deadline" . -}}
{{- if and $deadline (not (hasKey $global "deadline")) -}}
{{- $_ := set $global "deadline" (printf "%ss" $deadline) -}}
{{- end -}}
{{- $_ := set $config "global" $global -}}
{{- $push := include "ocync.pushgateway" . | fromYaml -}}
{{- if $push -}}
{{- $metrics := $config.metrics | default dict -}}
{{- $_ := set $metrics "pushgateway" $push -}}
{{- $_ := set $config "metrics" $metrics -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
Seconds after which a run starts no new work, or nothing where a run has no end.

A Job's time runs from its creation, ocync's from the start of the process; between the two lie scheduling and the
pull of the image (up to a minute, less where the whole is short), and after the deadline the work in flight may
take as long as on SIGTERM.
*/}}
{{- define "ocync.deadline" -}}
{{- $active := .Values.job.activeDeadlineSeconds | int64 -}}
{{- if and (ne .Values.mode "watch") (gt $active 0) -}}
{{- $start := min 60 (div $active 10) -}}
{{- sub (sub $active (.Values.terminationGracePeriodSeconds | int64)) $start -}}
{{- end -}}
{{- end -}}

{{/* Seconds that images in flight get on SIGTERM: the pod's grace period but for ten, kept for report and metrics. */}}
{{- define "ocync.gracePeriod" -}}
{{- $grace := .Values.terminationGracePeriodSeconds | int64 -}}
{{- sub $grace (min 10 (div $grace 2)) -}}
{{- end -}}

{{/*
config.metrics.pushgateway over metrics.pushgateway; grouped by release, never by pod: groups live for ever. The URL may
come by OCYNC_PUSHGATEWAY_URL, which ocync reads itself.
*/}}
{{- define "ocync.pushgateway" -}}
{{- $push := deepCopy (.Values.metrics.pushgateway | default dict) -}}
{{- if not $push.url -}}
{{- $push = omit $push "url" -}}
{{- end -}}
{{- $push = mergeOverwrite $push (deepCopy ((.Values.config.metrics | default dict).pushgateway | default dict)) -}}
{{- if and (or $push (has "OCYNC_PUSHGATEWAY_URL" (include "ocync.variables" . | fromYamlArray))) (not (hasKey $push "grouping")) -}}
{{- $_ := set $push "grouping" (dict "namespace" .Release.Namespace "release" .Release.Name) -}}
{{- end -}}
{{- toYaml $push -}}
{{- end -}}

{{/* The names of the variables that `env` sets, as a YAML list. */}}
{{- define "ocync.variables" -}}
{{- $names := list -}}
{{- range .Values.env -}}
{{- if or .value .valueFrom -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* 443, the ports of registries and Pushgateway as their URLs name them, and those that the user adds; a YAML list. */}}
{{- define "ocync.egressPorts" -}}
{{- $urls := list (include "ocync.pushgateway" . | fromYaml).url -}}
{{- range .Values.config.registries -}}
{{- $urls = append $urls .url -}}
{{- end -}}
{{- $ports := list 443 -}}
{{- range $urls -}}
{{- $url := . | toString -}}
{{- $port := regexFind "^([a-z]+://)?[^/]*:[0-9]+(/|$)" $url | regexFind "[0-9]+/?$" | trimSuffix "/" -}}
{{- if hasPrefix "oci:" $url -}}
{{- else if $port -}}
{{- $ports = append $ports (int $port) -}}
{{- else if hasPrefix "http://" $url -}}
{{- $ports = append $ports 80 -}}
{{- end -}}
{{- end -}}
{{- range .Values.networkPolicy.egressPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- uniq $ports | toYaml -}}
{{- end -}}

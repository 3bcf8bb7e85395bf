{{/* Choices that are allowed and may hurt, as a YAML list of sentences for NOTES.txt. */}}
{{- define "ocync.warnings" -}}
{{- $values := .Values -}}
{{- $found := list -}}
{{- if not $values.config.mappings -}}
{{- $found = append $found "config has no mappings, so there is nothing to copy." -}}
{{- end -}}
{{- if and (contains "${" (toYaml $values.config)) (not $values.env) (not $values.envFrom) -}}
{{- $found = append $found "config refers to ${VARIABLE}s, and neither env nor envFrom sets any." -}}
{{- end -}}
{{- range $values.env -}}
{{- if and .value (regexMatch "(?i)(passw|secret|token|api_?key)" .name) (not (regexMatch "(?i)(_file|_path|_url|_dir)$" .name)) -}}
{{- $found = append $found (printf "env.%s is written out for all who may read pods; take it from a Secret by valueFrom or envFrom." .name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $registry := $values.config.registries -}}
{{- if ($registry.tls | default dict).insecure_skip_verify -}}
{{- $found = append $found (printf "config.registries.%s.tls.insecure_skip_verify lets anyone on the way read the credentials and change images; give tls.ca_file." $name) -}}
{{- end -}}
{{- end -}}
{{- if eq $values.mode "cronjob" -}}
{{- if eq $values.cronjob.concurrencyPolicy "Allow" -}}
{{- $found = append $found "cronjob.concurrencyPolicy Allow lets slow runs pile up and do the same work twice; Forbid does not." -}}
{{- end -}}
{{- if $values.cronjob.suspend -}}
{{- $found = append $found "cronjob.suspend is true: nothing runs until it is false." -}}
{{- end -}}
{{- end -}}
{{- if and (ne $values.mode "watch") (not (int64 $values.job.activeDeadlineSeconds)) -}}
{{- $found = append $found "job.activeDeadlineSeconds is 0: a run that hangs holds up all later ones." -}}
{{- end -}}
{{- $staged := ($values.config.global | default dict).staging_size_limit -}}
{{- if and (eq ($values.tmp | default dict).medium "Memory") $staged -}}
{{- $found = append $found (printf "tmp.medium is Memory: what is staged in memory counts against resources.limits.memory, up to %v (config.global.staging_size_limit)." $staged) -}}
{{- end -}}
{{- if and (eq $values.image.tag "latest") (not $values.image.digest) -}}
{{- $found = append $found "image.tag latest changes under you, and the chart's arguments may not fit it." -}}
{{- end -}}
{{- if contains "clowdhaus/ocync" $values.image.repository -}}
{{- $found = append $found "image.repository names another program of the same name, which does not know this chart's arguments; leave image unset." -}}
{{- end -}}
{{- if and (not $values.serviceAccount.create) (has $values.workloadIdentity.provider (list "aws" "gcp" "azure")) -}}
{{- $found = append $found "serviceAccount.create is false, so workloadIdentity can't annotate the ServiceAccount; see that it is annotated already." -}}
{{- end -}}
{{- if and $values.secretProviderClass.enabled (not (contains "secrets-store.csi.k8s.io" (toYaml $values.extraVolumes))) -}}
{{- $found = append $found "secretProviderClass is enabled and no entry of extraVolumes mounts it, so its secrets never appear." -}}
{{- end -}}
{{- if not (and ($values.podSecurityContext | default dict).runAsNonRoot ($values.securityContext | default dict).readOnlyRootFilesystem) -}}
{{- $found = append $found "podSecurityContext or securityContext is weaker than the default; ocync needs neither root nor a writable root file system." -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

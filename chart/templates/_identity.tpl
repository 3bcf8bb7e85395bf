{{/* The annotations by which each cloud binds its identity to a ServiceAccount. */}}
{{- define "ocync.identityAnnotations" -}}
{{- $identity := .Values.workloadIdentity -}}
{{- if eq $identity.provider "aws" -}}
eks.amazonaws.com/role-arn: {{ $identity.aws.roleArn | quote }}
{{- else if eq $identity.provider "gcp" -}}
iam.gke.io/gcp-service-account: {{ $identity.gcp.serviceAccount | quote }}
{{- else if eq $identity.provider "azure" -}}
azure.workload.identity/client-id: {{ $identity.azure.clientId | quote }}
{{- with $identity.azure.tenantId }}
azure.workload.identity/tenant-id: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Where each cloud hands out the identity, as egress rules: EKS Pod Identity's agent and the metadata services. */}}
{{- define "ocync.identityEgress" -}}
{{- $provider := .Values.workloadIdentity.provider -}}
{{- if eq $provider "aws" }}
- to:
    - ipBlock:
        cidr: 169.254.170.23/32
    - ipBlock:
        cidr: 169.254.169.254/32
  ports:
    - port: 80
      protocol: TCP
{{- else if eq $provider "gcp" }}
- to:
    - ipBlock:
        cidr: 169.254.169.254/32
    - ipBlock:
        cidr: 169.254.169.252/32
  ports:
    - port: 80
      protocol: TCP
    - port: 988
      protocol: TCP
{{- else if eq $provider "azure" }}
- to:
    - ipBlock:
        cidr: 169.254.169.254/32
  ports:
    - port: 80
      protocol: TCP
{{- end }}
{{- end -}}

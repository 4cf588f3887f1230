{{- define "sluice.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sluice.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "sluice.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end }}

{{- /* What the chart knows is added to the configuration; what stands there wins, but for the address, which the probes need. */ -}}
{{- define "sluice.config" -}}
{{- if not (get .Values.config "routes") }}{{ fail "config.routes: name at least one route, such as orders: {from: \"kafka://kafka:9092/orders\", to: \"jetstream://nats:4222/ORDERS\"}" }}{{ end -}}
{{- $admin := dict -}}
{{- if .Values.adminToken.secret }}{{ $_ := set $admin "token" (printf "${file:/run/secrets/admin/%s}" .Values.adminToken.key) }}{{ end -}}
{{- $config := mergeOverwrite (dict "admin" $admin) (deepCopy .Values.config) -}}
{{- $_ := set $config.admin "listen" ":4280" -}}
{{- toYaml $config -}}
{{- end }}

{{- define "rollcall.labels" -}}
app.kubernetes.io/name: rollcall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What selects the pods of a part: (list . "ingest") */}}
{{- define "rollcall.selector" -}}
app.kubernetes.io/name: rollcall
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "rollcall.name" -}}
{{- if contains "rollcall" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-rollcall" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "rollcall.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "rollcall.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "rollcall.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The NATS user of a part. */}}
{{- define "rollcall.user" -}}
{{- get (dict "ingest" "ingester" "project" "projector" "query" "query") . }}
{{- end }}

{{/* The settings of a part, as its config file: (list . "ingest") */}}
{{- define "rollcall.config" -}}
{{- $ := index . 0 }}{{ $part := index . 1 }}{{ $v := $.Values }}
{{- $own := dict "data-dir" "/data" "admin-addr" "0.0.0.0:8082" }}
{{- if eq $part "standalone" }}
{{- $_ := set $own "audit-interval" "6h" }}
{{- else }}
{{- $_ := set $own "target" (list $part) }}
{{- if and $v.nats.enabled (ne $part "query") }}{{ $_ := set $own "replicas" 3 }}{{ end }}
{{- end }}
{{- if has $part (list "standalone" "ingest") }}
{{- $_ := set $own "ingest-addr" "0.0.0.0:8080" }}
{{- $_ := set $own "sources" $v.sources }}
{{- end }}
{{- if has $part (list "standalone" "query") }}
{{- if $v.apiTokensSecret }}
{{- $_ := set $own "api-addr" "0.0.0.0:8081" }}
{{- $_ := set $own "api-token-file" "/etc/rollcall/api/tokens" }}
{{- end }}
{{- $_ := set $own "replica-dir" "/data/replica" }}
{{- end }}
{{- $more := dict }}
{{- if ne $part "standalone" }}{{ $more = (index $v $part).config }}{{ end }}
{{- mergeOverwrite $own (deepCopy $v.config) (deepCopy $more) | toYaml }}
{{- end }}

{{/* The pod of a part: (list . "ingest") */}}
{{- define "rollcall.pod" -}}
{{- $ := index . 0 }}{{ $part := index . 1 }}{{ $v := $.Values }}{{ $name := include "rollcall.name" $ }}
metadata:
  labels:
    {{- include "rollcall.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ $part }}
  annotations:
    # Another config is another pod.
    checksum/config: {{ include "rollcall.config" . | sha256sum }}
spec:
  automountServiceAccountToken: false
  # A Service named rollcall would put ROLLCALL_PORT and others into the environment, where settings are read from.
  enableServiceLinks: false
  terminationGracePeriodSeconds: 35
  securityContext:
    {{- include "rollcall.podSecurity" $ | nindent 4 }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: rollcall
      image: {{ include "rollcall.image" $ | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: [serve, --config, /etc/rollcall/rollcall.yaml]
      {{- if and (ne $part "standalone") }}
      env:
        {{- if $v.nats.authSecret }}
        - {name: NATS_USER, value: {{ include "rollcall.user" $part }}}
        - name: NATS_PASSWORD
          valueFrom: {secretKeyRef: {name: {{ $v.nats.authSecret | quote }}, key: {{ include "rollcall.user" $part }}}}
        {{- end }}
        - name: ROLLCALL_NATS_URL
          {{- if $v.nats.enabled }}
          value: nats://$(NATS_USER):$(NATS_PASSWORD)@{{ $name }}-nats:4222
          {{- else }}
          value: {{ required "nats.url: name your NATS servers where nats.enabled is false" $v.nats.url | quote }}
          {{- end }}
      {{- end }}
      ports:
        - {name: admin, containerPort: 8082}
        {{- if has $part (list "standalone" "ingest") }}
        - {name: webhooks, containerPort: 8080}
        {{- end }}
        {{- if and $v.apiTokensSecret (has $part (list "standalone" "query")) }}
        - {name: api, containerPort: 8081}
        {{- end }}
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        timeoutSeconds: 3
      resources:
        {{- toYaml (index $v $part).resources | nindent 8 }}
      securityContext:
        {{- include "rollcall.containerSecurity" $ | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/rollcall/rollcall.yaml, subPath: {{ $part }}.yaml, readOnly: true}
        - {name: data, mountPath: /data}
        {{- if and $v.keysSecret (has $part (list "standalone" "ingest")) }}
        - {name: keys, mountPath: /etc/rollcall/keys, readOnly: true}
        {{- end }}
        {{- if and $v.apiTokensSecret (has $part (list "standalone" "query")) }}
        - {name: api, mountPath: /etc/rollcall/api, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ $name }}}
    {{- if and $v.keysSecret (has $part (list "standalone" "ingest")) }}
    - name: keys
      secret: {secretName: {{ $v.keysSecret | quote }}}
    {{- end }}
    {{- if and $v.apiTokensSecret (has $part (list "standalone" "query")) }}
    - name: api
      secret: {secretName: {{ $v.apiTokensSecret | quote }}}
    {{- end }}
    {{- if ne $part "standalone" }}
    - name: data
      emptyDir: {}
    {{- end }}
  {{- include "rollcall.placing" . | nindent 2 }}
{{- end }}

{{/* Where pods run: two of a part not on one node, where there are more. */}}
{{- define "rollcall.placing" -}}
{{- $ := index . 0 }}{{ $part := index . 1 }}{{ $v := $.Values }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "rollcall.selector" . | nindent 8 }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The parts of the chosen mode. */}}
{{- define "rollcall.parts" -}}
{{- if eq .Values.mode "cluster" }}ingest project query{{ else }}standalone{{ end }}
{{- end }}

{{- define "rollcall.claim" -}}
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .className }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources: {requests: {storage: {{ .size }}}}
{{- end }}

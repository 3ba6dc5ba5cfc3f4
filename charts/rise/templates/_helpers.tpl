{{/* The release's name, with the chart's where it does not hold it. Names end in one more word: 40 characters leave room. */}}
{{- define "rise.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* For what has no namespace: two releases of one name in two namespaces do not meet. */}}
{{- define "rise.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "rise.fullname" .) -}}
{{- end -}}

{{/* Of every object. Takes (dict "root" $ "component" "operator"). */}}
{{- define "rise.labels" -}}
{{ include "rise.selectorLabels" . }}
app.kubernetes.io/part-of: rise
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What pods are found by. The operator gives the same name to the pods of stages that it makes: rise-stage. */}}
{{- define "rise.selectorLabels" -}}
app.kubernetes.io/name: rise-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{/* metadata of an object: (dict "root" $ "component" "operator" "name" "…" "labels" (dict …) "annotations"
(dict …)); `cluster` true where it has no namespace. */}}
{{- define "rise.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace }}
{{- end }}
labels:
  {{- include "rise.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image by digest where one is given, else by tag, else by the chart's version: (dict "root" $ "image" {…}). */}}
{{- define "rise.image" -}}
{{- $registry := .image.registry | default .root.Values.image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "rise.natsUrl" -}}
{{- if .Values.nats.enabled -}}
{{- printf "%s://%s-nats.%s.svc:4222" (ternary "tls" "nats" .Values.nats.tls.enabled) (include "rise.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- required "nats.url: wanted the URL of a NATS server with JetStream, for nats.enabled is false, got none; set nats.url=nats://HOST:4222" .Values.nats.url -}}
{{- end -}}
{{- end -}}

{{/* The Secret with what a role shows NATS: (dict "root" $ "role" "edge"). */}}
{{- define "rise.natsSecret" -}}
{{- $nats := .root.Values.nats -}}
{{- if get $nats.secrets .role -}}
{{- get $nats.secrets .role -}}
{{- else if $nats.existingSecret -}}
{{- $nats.existingSecret -}}
{{- else if $nats.enabled -}}
{{- printf "%s-nats-%s" (include "rise.fullname" .root) .role -}}
{{- else -}}
{{- fail (printf "nats.existingSecret: wanted the name of a Secret that opens nats.url to the %s, got none; name one for all, or one for each role in nats.secrets" .role) -}}
{{- end -}}
{{- end -}}

{{/* The Secret whose ca.crt signed the certificate of NATS; empty where there is none, or everybody trusts it. */}}
{{- define "rise.natsCaSecret" -}}
{{- if .Values.nats.tls.existingSecret -}}
{{- .Values.nats.tls.existingSecret -}}
{{- else if and .Values.nats.enabled .Values.nats.tls.enabled -}}
{{- printf "%s-nats-tls" (include "rise.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the key that JetStream's store is encrypted with. */}}
{{- define "rise.natsEncryptionSecret" -}}
{{- .Values.nats.encryption.existingSecret | default (printf "%s-nats-encryption" (include "rise.fullname" .)) -}}
{{- end -}}

{{/* What opens NATS to a role, as a volume: (dict "root" $ "role" "edge"). It is read anew at each connection. */}}
{{- define "rise.natsVolume" -}}
- name: nats
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "rise.natsSecret" . }}
      {{- with include "rise.natsCaSecret" .root }}
      - secret:
          name: {{ . }}
          items: [{key: ca.crt, path: ca.crt}]
      {{- end }}
{{- end -}}

{{- define "rise.metricsSecret" -}}
{{- .Values.metrics.existingSecret | default (printf "%s-metrics" (include "rise.fullname" .)) -}}
{{- end -}}

{{/* Who has tokens reviewed, as a list of components. */}}
{{- define "rise.reviewers" -}}
{{- if .Values.metrics.accounts -}}
["operator", "scheduler"]
{{- else if and .Values.scheduler.http.enabled .Values.scheduler.http.accounts -}}
["scheduler"]
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/* Who says what pictures are worth, as a list of components: a judge where a pool draws with the embedded family, which
is the only one that it knows, and a scorer where one is wanted. */}}
{{- define "rise.judges" -}}
{{- $names := ternary (list "scorer") list .Values.scorer.enabled -}}
{{- range .Values.pools -}}
{{- if and $.Values.judge.enabled . (eq (dig "family" "rise-shapes" .) "rise-shapes") -}}
{{- $names = append $names "judge" | uniq | sortAlpha -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* The roles that NATS knows, each with a Secret of its own. A scorer is a judge there. */}}
{{- define "rise.natsRoles" -}}
{{- $roles := list "operator" "scheduler" "edge" "device" "user" -}}
{{- toJson (ternary (append $roles "judge") $roles (ne (include "rise.judges" .) "[]")) -}}
{{- end -}}

{{/* The processes of the chart that have nothing to do with the API. */}}
{{- define "rise.processes" -}}
{{- $names := list "scheduler" "stage" -}}
{{- $names = ternary (append $names "nats") $names .Values.nats.enabled -}}
{{- concat $names (include "rise.judges" . | fromJsonArray) | toJson -}}
{{- end -}}

{{/* The namespaces that the operator cares for, comma-separated; empty is all. Its own, with the default pools, is always
among them. */}}
{{- define "rise.watchNamespaces" -}}
{{- if .Values.operator.watchNamespaces -}}
{{- append .Values.operator.watchNamespaces .Release.Namespace | uniq | sortAlpha | join "," -}}
{{- end -}}
{{- end -}}

{{/* The manifests that the operator's pods apply before they start, as names of ConfigMaps. */}}
{{- define "rise.defaults" -}}
{{- $names := list -}}
{{- if .Values.family.install -}}
{{- $names = append $names (printf "%s-default-family" (include "rise.fullname" .)) -}}
{{- end -}}
{{- range $name := keys .Values.pools | sortAlpha -}}
{{- if get $.Values.pools $name -}}
{{- $names = append $names (printf "%s-default-pool-%s" (include "rise.fullname" $) $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* What every process is told; it mounts `rise.natsVolume` at /etc/rise/nats. */}}
{{- define "rise.environment" -}}
- name: RISE_NATS_URL
  value: {{ include "rise.natsUrl" . }}
- name: RISE_NATS_ACCESS
  value: /etc/rise/nats
- name: RISE_LOG_LEVEL
  value: {{ .Values.log.level }}
- name: RISE_LOG_FORMAT
  value: json
{{- end -}}

{{/* Who may read the metrics of operator and scheduler. */}}
{{- define "rise.metricsEnvironment" -}}
- name: RISE_METRICS_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "rise.metricsSecret" . }}
      key: token
{{- with .Values.metrics.accounts }}
- name: RISE_METRICS_ACCOUNTS
  value: {{ join "," . }}
{{- end }}
{{- end -}}

{{/* The Pod Security Standard "restricted", and a number for those who have to see that it is not root. */}}
{{- define "rise.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "rise.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Health of a Rise process: it turns, it takes work. */}}
{{- define "rise.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: 30
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* Where a component's pods go: (dict "root" $ "of" .Values.operator). */}}
{{- define "rise.scheduling" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* metadata of a pod template: (dict "root" $ "component" "operator" "of" .Values.operator "annotations" (dict …)). The
chart's version is not in it: an upgrade restarts only what it changes. */}}
{{- define "rise.podMetadata" -}}
labels:
  {{- include "rise.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/part-of: rise
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .of.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) (.of.podAnnotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

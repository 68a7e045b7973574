// Package helm holds the tests of the chart: what it renders is what Kubernetes
// knows, closed and complete in both modes, and wrong values are refused by name.
package helm

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"rollcall/deploy/internal/built"
)

const path = "rollcall"

// kinds are what the chart may render, by the type that its text must fit strictly.
var kinds = map[string]func() any{
	"apps/v1 StatefulSet":                     func() any { return new(apps.StatefulSet) },
	"apps/v1 Deployment":                      func() any { return new(apps.Deployment) },
	"v1 ConfigMap":                            func() any { return new(core.ConfigMap) },
	"v1 Service":                              func() any { return new(core.Service) },
	"networking.k8s.io/v1 Ingress":            func() any { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":           func() any { return new(policy.PodDisruptionBudget) },
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// render does what `helm template rc rollcall -f values` does.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	var given map[string]any
	if err := yaml.UnmarshalStrict([]byte(values), &given); err != nil {
		t.Fatalf("values %s: %v", values, err)
	}
	c := loadChart(t)
	all, err := util.ToRenderValues(c, given, common.ReleaseOptions{Name: "rc", Namespace: "meetings", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// objects are what was rendered, decoded; the key is kind and name.
func objects(t *testing.T, values string) map[string]any {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatalf("render with %s: %v", values, err)
	}
	all := map[string]any{}
	for file, text := range files {
		if strings.HasSuffix(file, "NOTES.txt") {
			continue
		}
		for _, document := range regexp.MustCompile(`(?m)^---\s*$`).Split(text, -1) {
			var head struct {
				APIVersion, Kind string
				Metadata         struct{ Name string }
			}
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v\n%s", file, err, document)
			}
			if head.Kind == "" {
				continue // nothing but comments
			}
			made := kinds[head.APIVersion+" "+head.Kind]
			if made == nil {
				t.Fatalf("%s renders %s %s, which this test does not know", file, head.APIVersion, head.Kind)
			}
			object := made()
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				t.Errorf("%s: %s %s: %v\n%s", file, head.Kind, head.Metadata.Name, err, document)
			}
			key := head.Kind + " " + head.Metadata.Name
			if all[key] != nil {
				t.Errorf("%s is rendered twice", key)
			}
			all[key] = object
		}
	}
	return all
}

const everything = `
sources: [{name: prod, scheme: rsa, key: /etc/rollcall/keys/prod.pem, organizationIds: [o1]}]
keysSecret: keys
apiTokensSecret: tokens
nats: {authSecret: nats}
ingress: {enabled: true, host: hooks.example.com, tlsSecret: tls, className: nginx}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true}
grafanaBoard: {enabled: true}
`

func TestObjects(t *testing.T) {
	for values, want := range map[string][]string{
		"{}": {"ConfigMap rc-rollcall", "NetworkPolicy rc-rollcall-standalone", "Service rc-rollcall-admin", "Service rc-rollcall-webhooks", "StatefulSet rc-rollcall"},
		"mode: standalone" + everything: {"ConfigMap rc-rollcall", "ConfigMap rc-rollcall-board", "Ingress rc-rollcall", "NetworkPolicy rc-rollcall-standalone",
			"PrometheusRule rc-rollcall", "Service rc-rollcall-admin", "Service rc-rollcall-api", "Service rc-rollcall-webhooks", "ServiceMonitor rc-rollcall", "StatefulSet rc-rollcall"},
		"mode: cluster" + everything: {"ConfigMap rc-rollcall", "ConfigMap rc-rollcall-board", "ConfigMap rc-rollcall-nats",
			"Deployment rc-rollcall-ingest", "Deployment rc-rollcall-project", "Deployment rc-rollcall-query", "Ingress rc-rollcall",
			"NetworkPolicy rc-rollcall-ingest", "NetworkPolicy rc-rollcall-nats", "NetworkPolicy rc-rollcall-project", "NetworkPolicy rc-rollcall-query",
			"PodDisruptionBudget rc-rollcall-ingest", "PodDisruptionBudget rc-rollcall-nats", "PodDisruptionBudget rc-rollcall-project", "PodDisruptionBudget rc-rollcall-query",
			"PrometheusRule rc-rollcall", "Service rc-rollcall-admin", "Service rc-rollcall-api", "Service rc-rollcall-nats", "Service rc-rollcall-webhooks", "ServiceMonitor rc-rollcall", "StatefulSet rc-rollcall-nats"},
		"mode: cluster\nnats: {enabled: false, url: 'nats://a:4222'}": {"ConfigMap rc-rollcall", "Deployment rc-rollcall-ingest", "Deployment rc-rollcall-project", "Deployment rc-rollcall-query",
			"NetworkPolicy rc-rollcall-ingest", "NetworkPolicy rc-rollcall-project", "NetworkPolicy rc-rollcall-query",
			"PodDisruptionBudget rc-rollcall-ingest", "PodDisruptionBudget rc-rollcall-project", "PodDisruptionBudget rc-rollcall-query", "Service rc-rollcall-admin", "Service rc-rollcall-webhooks"},
		"networkPolicy: {enabled: false}\npodDisruptionBudget: {enabled: false}": {"ConfigMap rc-rollcall", "Service rc-rollcall-admin", "Service rc-rollcall-webhooks", "StatefulSet rc-rollcall"},
	} {
		if got := slices.Sorted(maps.Keys(objects(t, values))); !slices.Equal(got, want) {
			t.Errorf("objects with %s:\n got %q\nwant %q", values, got, want)
		}
	}
}

// pods are the pod templates among objects.
func pods(all map[string]any) map[string]core.PodTemplateSpec {
	found := map[string]core.PodTemplateSpec{}
	for key, object := range all {
		switch o := object.(type) {
		case *apps.StatefulSet:
			found[key] = o.Spec.Template
		case *apps.Deployment:
			found[key] = o.Spec.Template
		}
	}
	return found
}

// TestPodsAreClosed: no root, nothing writable but volumes, no token of the
// cluster, no secret in the clear; probes and limits on each container.
func TestPodsAreClosed(t *testing.T) {
	for _, mode := range []string{"mode: standalone", "mode: cluster"} {
		for name, pod := range pods(objects(t, mode+everything)) {
			s := pod.Spec.SecurityContext
			if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken ||
				pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks || s.SeccompProfile == nil {
				t.Errorf("%s: %s may run as root, has a token, service links or no seccomp profile", mode, name)
			}
			for _, c := range pod.Spec.Containers {
				if c.SecurityContext == nil || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || !slices.Equal(c.SecurityContext.Capabilities.Drop, []core.Capability{"ALL"}) {
					t.Errorf("%s: container %s of %s is not closed", mode, c.Name, name)
				}
				if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s: container %s of %s lacks a probe, a limit or a request", mode, c.Name, name)
				}
				for _, e := range c.Env {
					if strings.Contains(e.Name, "PASSWORD") && (e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil) {
						t.Errorf("%s: %s of %s is no reference to a Secret", mode, e.Name, name)
					}
				}
			}
		}
	}
}

// TestSelectors: each Service, budget and policy selects pods that there are, and
// a Service's port is one of theirs.
func TestSelectors(t *testing.T) {
	for _, mode := range []string{"mode: standalone", "mode: cluster"} {
		all := objects(t, mode+everything)
		selected := func(what string, selector map[string]string) (found []core.PodTemplateSpec) {
			for _, pod := range pods(all) {
				if len(selector) > 0 && contains(pod.Labels, selector) {
					found = append(found, pod)
				}
			}
			if len(found) == 0 {
				t.Errorf("%s: %s selects no pod: %v", mode, what, selector)
			}
			return found
		}
		for key, object := range all {
			switch o := object.(type) {
			case *core.Service:
				for _, pod := range selected(key, o.Spec.Selector)[:1] {
					for _, port := range o.Spec.Ports {
						if !hasPort(pod, port.TargetPort.StrVal) && port.TargetPort.StrVal != "" && !strings.HasSuffix(key, "-admin") {
							t.Errorf("%s: %s leads to port %s, which its pods lack", mode, key, port.TargetPort.StrVal)
						}
					}
				}
			case *policy.PodDisruptionBudget:
				selected(key, o.Spec.Selector.MatchLabels)
			case *networking.NetworkPolicy:
				for _, pod := range selected(key, o.Spec.PodSelector.MatchLabels) {
					for _, rule := range o.Spec.Ingress {
						for _, port := range rule.Ports {
							if !hasPort(pod, port.Port.StrVal) {
								t.Errorf("%s: %s opens port %s, which its pods lack", mode, key, port.Port.StrVal)
							}
						}
					}
				}
			}
		}
	}
}

func contains(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func hasPort(pod core.PodTemplateSpec, name string) bool {
	return slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p core.ContainerPort) bool { return p.Name == name })
}

// TestConfigsAreUnderstood has the program read each config file that the chart makes.
func TestConfigsAreUnderstood(t *testing.T) {
	binary := built.Binary(t)
	for _, mode := range []string{"mode: standalone", "mode: cluster"} {
		config := objects(t, mode+everything)["ConfigMap rc-rollcall"].(*core.ConfigMap)
		for name, text := range config.Data {
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var rows []struct{ Name, Value string }
			if err := json.Unmarshal([]byte(built.Run(t, binary, "config", "show", "--config", file, "--output", "json")), &rows); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, r := range rows {
				got[r.Name] = r.Value
			}
			if part := strings.TrimSuffix(name, ".yaml"); part != "standalone" && got["target"] != part {
				t.Errorf("%s has the target %q; want %s", name, got["target"], part)
			}
			if got["admin-addr"] != "0.0.0.0:8082" || got["data-dir"] != "/data" {
				t.Errorf("%s: admin-addr %q, data-dir %q; want 0.0.0.0:8082, /data", name, got["admin-addr"], got["data-dir"])
			}
		}
	}
}

// own are settings that the chart makes itself, so that values may not.
var own = []string{"config", "source", "sources", "target", "admin-addr", "data-dir", "nats-url"}

// TestSchemaKnowsTheFlags: config takes each setting of serve, and nothing else.
func TestSchemaKnowsTheFlags(t *testing.T) {
	var rows []struct{ Name string }
	if err := json.Unmarshal([]byte(built.Run(t, built.Binary(t), "config", "show", "--output", "json")), &rows); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, r := range rows {
		if !slices.Contains(own, r.Name) {
			want = append(want, r.Name)
		}
	}
	slices.Sort(want)
	var schema struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	text, err := os.ReadFile(path + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(schema.Defs["config"].Properties)); !slices.Equal(got, want) {
		t.Errorf("values.schema.json knows the settings\n%q; serve has\n%q", got, want)
	}
}

// TestSchemaDescribesEachValue: what values.yaml has is in the schema, described.
func TestSchemaDescribesEachValue(t *testing.T) {
	var schema map[string]any
	text, err := os.ReadFile(path + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	described(t, "", schema, loadChart(t).Values, schema)
}

func described(t *testing.T, at string, schema map[string]any, values map[string]any, whole map[string]any) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	for key, value := range values {
		p, _ := properties[key].(map[string]any)
		if ref, ok := p["$ref"].(string); ok {
			p = whole["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		if p["description"] == nil && p["additionalProperties"] == nil {
			t.Errorf("values.schema.json does not describe %s%s", at, key)
		}
		if nested, ok := value.(map[string]any); ok && p["properties"] != nil && key != "config" {
			described(t, at+key+".", p, nested, whole)
		}
	}
}

func TestWrongValues(t *testing.T) {
	for values, names := range map[string][]string{
		"mode: both":                                               {"mode"},
		"imgae: {tag: v1}":                                         {"imgae"},
		"ingest: {replicas: 0}":                                    {"ingest", "replicas"},
		"ingest: {replicas: two}":                                  {"ingest", "replicas"},
		"config: {ingest-adr: '0.0.0.0:8080'}":                     {"config", "ingest-adr"},
		"config: {data-dir: /x}":                                   {"config", "data-dir"},
		"sources: [{name: Prod, scheme: rsa}]":                     {"sources", "name"},
		"sources: [{name: prod, scheme: dsa}]":                     {"sources", "scheme"},
		"sources: [{name: prod, scheme: rsa, organisations: [o]}]": {"sources", "organisations"},
		"image: {digest: latest}":                                  {"image", "digest"},
		"standalone: {storage: {size: big}}":                       {"storage", "size"},
		"service: {type: External}":                                {"service", "type"},
		"mode: cluster":                                            {"nats.authSecret"},
		"mode: cluster\nnats: {enabled: false}":                    {"nats.url"},
		"ingress: {enabled: true}":                                 {"ingress.host"},
		"serviceMonitor: {interval: often}":                        {"serviceMonitor", "interval"},
	} {
		_, err := render(t, values)
		for _, name := range names {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("values %s: %v; want a refusal that names %s", values, err, name)
			}
		}
	}
}

// TestRulesReachTheOperator: the rules that Prometheus' operator gets are those of the file.
func TestRulesReachTheOperator(t *testing.T) {
	rules := objects(t, "mode: standalone"+everything)["PrometheusRule rc-rollcall"].(*monitoring.PrometheusRule)
	text, err := os.ReadFile("../monitoring/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rules.Spec, want) {
		t.Errorf("the PrometheusRule differs from rules.yaml")
	}
}

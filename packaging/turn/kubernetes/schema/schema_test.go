package schema

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Every manifest is an object that Kubernetes knows, with no field that it does
// not, and with labels and quantities that it takes.
func TestManifestsAreWhatKubernetesKnows(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	files, err := filepath.Glob("../*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	kinds := map[string]bool{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for r := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text))); ; {
			doc := make([]byte, len(text))
			n, err := r.Read(doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			object, kind, err := strict.Decode(doc[:n], nil, nil)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			kinds[kind.Kind] = true
			if d, ok := object.(*appsv1.Deployment); ok {
				for _, e := range validation.ValidateLabelSelector(d.Spec.Selector, validation.LabelSelectorValidationOptions{}, nil) {
					t.Errorf("%s: %v", path, e)
				}
				for name, value := range d.Spec.Selector.MatchLabels {
					if d.Spec.Template.Labels[name] != value {
						t.Errorf("%s: the deployment does not select its own pods by %s", path, name)
					}
				}
			}
		}
	}
	for _, want := range []string{"ConfigMap", "ServiceAccount", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"} {
		if !kinds[want] {
			t.Errorf("there is no %s", want)
		}
	}
}

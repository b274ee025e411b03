package envtest

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestAConfigMapIsThere(t *testing.T) {
	existing := true
	environment := &envtest.Environment{UseExistingCluster: &existing}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = environment.Stop() }()
	api, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"}, Data: map[string]string{"b": "c"}}
	if err := api.Create(context.Background(), made); err != nil {
		t.Fatal(err)
	}
	found := &corev1.ConfigMap{}
	if err := api.Get(context.Background(), client.ObjectKeyFromObject(made), found); err != nil {
		t.Fatal(err)
	}
	if found.Data["b"] != "c" || found.ResourceVersion == "" {
		t.Fatalf("unexpected: %v", found)
	}
}

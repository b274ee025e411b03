// A small operator of controller-runtime: manager, cache, leader election, owned objects, finalizers.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autov1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// operatorChecks runs an operator, and checks what it does.
func operatorChecks(cfg *rest.Config, ns string) {
	j := rest.CopyConfig(cfg)
	j.ContentType = "application/json"
	cs := kubernetes.NewForConfigOrDie(j)
	cs.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	sch := scheme()
	apiextv1.AddToScheme(sch)
	var mgr ctrl.Manager
	run("controller-runtime: envtest with UseExistingCluster and a CRD installed", func(ctx context.Context) error {
		yes := true
		crd := &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "shops.go.example.com"}, Spec: apiextv1.CustomResourceDefinitionSpec{Group: "go.example.com", Scope: "Namespaced",
			Names:    apiextv1.CustomResourceDefinitionNames{Plural: "shops", Singular: "shop", Kind: "Shop", ListKind: "ShopList"},
			Versions: []apiextv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true, Subresources: &apiextv1.CustomResourceSubresources{Status: &apiextv1.CustomResourceSubresourceStatus{}}, Schema: &apiextv1.CustomResourceValidation{OpenAPIV3Schema: &apiextv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &yes}}}}}}
		env := &envtest.Environment{UseExistingCluster: &yes, Config: cfg, CRDInstallOptions: envtest.CRDInstallOptions{CRDs: []*apiextv1.CustomResourceDefinition{crd}}}
		_, err := env.Start()
		return err
	})
	var made, reconciled atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run("controller-runtime: manager with leader election, cache, For(Deployment).Owns(ConfigMap)", func(c context.Context) error {
		var err error
		mgr, err = ctrl.NewManager(cfg, ctrl.Options{Scheme: sch, Metrics: metricsserver.Options{BindAddress: "0"}, LeaderElection: true, LeaderElectionID: "lead", LeaderElectionNamespace: ns})
		if err != nil {
			return err
		}
		err = ctrl.NewControllerManagedBy(mgr).Named(ns).For(&appsv1.Deployment{}).Owns(&corev1.ConfigMap{}, builder.MatchEveryOwner).Complete(reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
			reconciled.Add(1)
			if r.Namespace != ns {
				return reconcile.Result{}, nil
			}
			d := &appsv1.Deployment{}
			if err := mgr.GetClient().Get(ctx, r.NamespacedName, d); err != nil {
				return reconcile.Result{}, client.IgnoreNotFound(err)
			}
			x := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: r.Name, Namespace: r.Namespace}}
			op, err := controllerutil.CreateOrUpdate(ctx, mgr.GetClient(), x, func() error {
				x.Data = map[string]string{"gen": fmt.Sprint(d.Generation)}
				return controllerutil.SetControllerReference(d, x, sch)
			})
			if err == nil && op == controllerutil.OperationResultCreated {
				made.Add(1)
			}
			return reconcile.Result{}, err
		}))
		if err != nil {
			return err
		}
		go func() {
			if err := mgr.Start(ctx); err != nil {
				fmt.Println("     manager ended:", err)
			}
		}()
		select {
		case <-mgr.Elected():
		case <-time.After(10 * time.Second):
			return errors.New("never elected")
		}
		if !mgr.GetCache().WaitForCacheSync(c) {
			return errors.New("no sync")
		}
		for i := 0; i < 5; i++ {
			x := dep(fmt.Sprintf("d%d", i))
			x.Namespace = ns
			if err := mgr.GetClient().Create(c, x); err != nil {
				return err
			}
		}
		for i := 0; i < 60 && made.Load() < 5; i++ {
			time.Sleep(100 * time.Millisecond)
		}
		return want(made.Load() == 5, "made %d of 5 in 6 s (reconciled %d)", made.Load(), reconciled.Load())
	})
	run("controller-runtime: owned object deleted is made again", func(c context.Context) error {
		if err := cs.CoreV1().ConfigMaps(ns).Delete(c, "d0", metav1.DeleteOptions{}); err != nil {
			return err
		}
		for i := 0; i < 50 && made.Load() < 6; i++ {
			time.Sleep(100 * time.Millisecond)
		}
		return want(made.Load() == 6, "made %d", made.Load())
	})
	run("controller-runtime: client Patch(MergeFrom), StrategicMergeFrom, Status().Patch, SSA Apply, DeleteAllOf, SubResource(scale)", func(c context.Context) error {
		cl, err := client.New(cfg, client.Options{Scheme: sch})
		if err != nil {
			return err
		}
		d := &appsv1.Deployment{}
		if err := cl.Get(c, types.NamespacedName{Namespace: ns, Name: "d1"}, d); err != nil {
			return err
		}
		b := d.DeepCopy()
		d.Labels["z"] = "1"
		if err := cl.Patch(c, d, client.MergeFromWithOptions(b, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		b = d.DeepCopy()
		d.Spec.Template.Spec.Containers[0].Image = "j"
		if err := cl.Patch(c, d, client.StrategicMergeFrom(b)); err != nil {
			return fmt.Errorf("strategic: %w", err)
		}
		b = d.DeepCopy()
		d.Status.ReadyReplicas, d.Status.Replicas = 1, 1
		if err := cl.Status().Patch(c, d, client.MergeFrom(b)); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if err := cl.Apply(c, applycore.ConfigMap("applied", ns).WithData(map[string]string{"a": "b"}), client.FieldOwner("cr"), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
		s := &autov1.Scale{}
		if err := cl.SubResource("scale").Get(c, d, s); err != nil {
			return fmt.Errorf("scale: %w", err)
		}
		s.Spec.Replicas = 4
		if err := cl.SubResource("scale").Update(c, d, client.WithSubResourceBody(s)); err != nil {
			return fmt.Errorf("scale update: %w", err)
		}
		if err := cl.DeleteAllOf(c, &corev1.ConfigMap{}, client.InNamespace(ns), client.MatchingLabels{"no": "such"}); err != nil {
			return fmt.Errorf("deleteallof: %w", err)
		}
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("go.example.com/v1")
		u.SetKind("Shop")
		u.SetName("s")
		u.SetNamespace(ns)
		return cl.Create(c, u)
	})
	run("controller-runtime: cache with field index and label selector options", func(c context.Context) error {
		if mgr == nil {
			return errors.New("no manager")
		}
		l := &corev1.ConfigMapList{}
		return mgr.GetClient().List(c, l, client.InNamespace(ns))
	})
	run("controller-runtime: a finalizer holds a custom resource until its controller has cleaned up", func(c context.Context) error {
		if mgr == nil {
			return errors.New("no manager")
		}
		const finalizer = "go.example.com/cleanup"
		shop := func() *unstructured.Unstructured {
			u := &unstructured.Unstructured{}
			u.SetAPIVersion("go.example.com/v1")
			u.SetKind("Shop")
			return u
		}
		var added, cleaned atomic.Int32
		err := ctrl.NewControllerManagedBy(mgr).Named(ns + "-shops").For(shop()).Complete(reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
			u := shop()
			if err := mgr.GetClient().Get(ctx, r.NamespacedName, u); err != nil {
				return reconcile.Result{}, client.IgnoreNotFound(err)
			}
			before := u.DeepCopy()
			if u.GetDeletionTimestamp() == nil {
				if !controllerutil.AddFinalizer(u, finalizer) {
					return reconcile.Result{}, nil
				}
				added.Add(1)
			} else if controllerutil.RemoveFinalizer(u, finalizer) {
				cleaned.Add(1)
			}
			return reconcile.Result{}, client.IgnoreNotFound(mgr.GetClient().Patch(ctx, u, client.MergeFrom(before)))
		}))
		if err != nil {
			return err
		}
		u := shop()
		u.SetName("kept")
		u.SetNamespace(ns)
		if err := mgr.GetClient().Create(c, u); err != nil {
			return err
		}
		for i := 0; i < 50 && added.Load() == 0; i++ {
			time.Sleep(100 * time.Millisecond)
		}
		direct, err := client.New(cfg, client.Options{Scheme: sch})
		if err != nil {
			return err
		}
		for i := 0; i < 50 && !controllerutil.ContainsFinalizer(u, finalizer); i++ {
			if err := direct.Get(c, client.ObjectKeyFromObject(u), u); err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err := direct.Delete(c, u); err != nil {
			return err
		}
		for i := 0; i < 50; i++ {
			if err = direct.Get(c, client.ObjectKeyFromObject(u), u); apierrors.IsNotFound(err) {
				return want(cleaned.Load() >= 1, "gone without a clean-up")
			}
			time.Sleep(100 * time.Millisecond)
		}
		return fmt.Errorf("still there: %v, cleaned %d times", u.GetFinalizers(), cleaned.Load())
	})
	cancel()
	time.Sleep(500 * time.Millisecond)
}

// scheme knows the kinds that the checks use.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, f := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, autov1.AddToScheme, coordv1.AddToScheme, batchv1.AddToScheme} {
		if err := f(s); err != nil {
			panic(err)
		}
	}
	return s
}

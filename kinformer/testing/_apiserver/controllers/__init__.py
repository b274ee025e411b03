"""The controllers, the scheduler and the kubelets of a cluster, on the store of the embedded API server."""

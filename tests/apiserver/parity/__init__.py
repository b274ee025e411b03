"""The same requests to a real kube-apiserver and to the embedded one, and how far their answers agree."""

"""Which hosts belong to the cluster: secret, certificates, links, joining and leaving."""

"""Who belongs to the cluster: secret, certificates, links, joining and leaving."""

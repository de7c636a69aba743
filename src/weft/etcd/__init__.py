"""Records in etcd: a store for those who want a consistent one, or have outgrown a mesh."""

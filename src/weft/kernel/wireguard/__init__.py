"""WireGuard, the kernel's or wireguard-go's, behind one interface."""

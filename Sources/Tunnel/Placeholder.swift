// Tunnel

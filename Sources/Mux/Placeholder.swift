// Mux

// Placeholder until the store's crash test.

"""Stubs of Envoy's external authorization, generated from ``protos/envoy`` by ``make proto``."""

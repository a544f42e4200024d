package backendtest

var transportRules []Rule

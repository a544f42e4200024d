package backendtest

var beginningRules []Rule

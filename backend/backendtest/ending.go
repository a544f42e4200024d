package backendtest

var endingRules []Rule

package backendtest

var writingRules []Rule

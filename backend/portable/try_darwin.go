package portable

const noSignal = 0 // package net sets SO_NOSIGPIPE

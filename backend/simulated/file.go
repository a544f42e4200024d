package simulated

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// firstNumber is the number of the first descriptor: far beyond those of the process, so that a system call with one
// fails and hits nobody.
const firstNumber = 1 << 24

// file is an open socket: several descriptors may refer to it.
type file struct {
	k       *Kernel
	refs    int
	end     *end      // of a connection, once there is one
	listens *listener // of a socket that listens
	dialing *dialing  // of one that connects
	local   backend.Address
	options map[string]backend.SocketOption
	linger  bool // the close of the last descriptor is a reset
}

// listener is where connections arrive.
type listener struct {
	k       *Kernel
	key     string
	addr    backend.Address
	backlog int
	queue   []*end
	closed  bool
	shares  *[]*listener  // all that listen at the address, because all of them share it; nil: only this one
	peer    *PeerListener // of a test; nil: a descriptor's
}

// dialing is a connect that is in progress.
type dialing struct {
	done bool
	err  error
}

// newFile makes a socket and a descriptor for it, the lowest number that is free.
func (k *Kernel) newFile() (*file, backend.Descriptor, error) {
	f := &file{k: k, options: map[string]backend.SocketOption{}}
	d, err := k.descriptor(f)
	return f, d, err
}

// shortage is why a call that takes a resource fails now, or nil.
func (k *Kernel) shortage() error {
	if k.scarce != nil {
		return k.scarce
	}
	if k.chance(k.cfg.Faults.Scarcity) {
		return [...]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}[k.random.IntN(4)]
	}
	return nil
}

func (k *Kernel) descriptor(f *file) (backend.Descriptor, error) {
	if err := k.shortage(); err != nil {
		return backend.Descriptor{}, err
	}
	if k.open >= k.cfg.Files {
		return backend.Descriptor{}, syscall.EMFILE
	}
	i := 0
	for i < len(k.files) && k.files[i] != nil {
		i++
	}
	if i == len(k.files) {
		k.files = append(k.files, nil)
	}
	k.files[i] = f
	f.refs++
	k.open++
	k.note("open", i, f.refs)
	return backend.NewDescriptor(firstNumber + i), nil
}

// file returns what a descriptor refers to. A descriptor that is not open is the caller's mistake, and the worst one:
// its number may be another's.
func (k *Kernel) file(d backend.Descriptor) *file {
	i := d.FD() - firstNumber
	if i < 0 || i >= len(k.files) || k.files[i] == nil {
		panic("simulated: a call with a descriptor that is not open: " + strconv.Itoa(d.FD()))
	}
	return k.files[i]
}

// closeFile closes a descriptor. The last one ends what it refers to.
func (k *Kernel) closeFile(d backend.Descriptor, reset bool) {
	f := k.file(d)
	for _, driver := range k.drivers {
		if _, ok := driver.attached[d.FD()]; ok {
			panic("simulated: a descriptor is closed that a driver still has: " + strconv.Itoa(d.FD()))
		}
	}
	k.files[d.FD()-firstNumber] = nil
	k.open--
	k.note("close", d.FD()-firstNumber, f.refs)
	k.unref(f, reset)
}

// unref follows that one less refers to the file: a descriptor, or a request in flight.
func (k *Kernel) unref(f *file, reset bool) {
	if f.end != nil && (reset || f.linger) && f.refs == 1 {
		f.end.close(true)
	}
	if f.refs--; f.refs > 0 {
		return
	}
	switch {
	case f.end != nil:
		f.end.close(false)
	case f.listens != nil:
		f.listens.close()
	}
}

// ready is what poll(2) would say of the file.
func (f *file) ready() ready {
	switch {
	case f.end != nil:
		return f.end.ready()
	case f.listens != nil:
		if len(f.listens.queue) > 0 || f.listens.closed {
			return readyIn
		}
	case f.dialing != nil && f.dialing.err != nil:
		return readyOut | readyError | readyHup | readyIn
	}
	return 0
}

// close resets what nobody has accepted.
func (l *listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	l.leave()
	for _, e := range l.queue {
		e.close(true)
	}
	l.queue = nil
	l.k.changed.Broadcast()
}

// leave takes the listener from its address, where others may stay.
func (l *listener) leave() {
	delete(l.k.listeners, l.key)
	if l.shares == nil {
		return
	}
	*l.shares = slices.DeleteFunc(*l.shares, func(other *listener) bool { return other == l })
	if len(*l.shares) > 0 {
		l.k.listeners[l.key] = (*l.shares)[0]
	}
}

// accept takes a connection from the queue, or returns syscall.EAGAIN.
func (l *listener) accept() (*end, error) {
	if l.closed {
		return nil, syscall.EINVAL
	}
	if len(l.queue) == 0 {
		return nil, syscall.EAGAIN
	}
	e := l.queue[0]
	l.queue = l.queue[1:]
	if l.k.chance(l.k.cfg.Faults.Abort) {
		if l.k.chance(0.5) { // the kernel takes it out of the queue and says so
			e.close(true)
			return nil, syscall.ECONNABORTED
		}
		e.other.failWith(syscall.ECONNRESET) // it is accepted all the same
		e.failWith(syscall.ECONNRESET)
	}
	return e, nil
}

// listenKey names the place where a listener is found.
func listenKey(a backend.Address) string {
	switch ip := a.IP.Addr().Unmap(); {
	case a.Kind == backend.UnixAddress:
		return "unix " + a.Unix
	case ip.IsUnspecified():
		return anyHost(a.IP.Port())
	default:
		return "tcp " + netip.AddrPortFrom(ip, a.IP.Port()).String()
	}
}

func anyHost(port uint16) string { return "tcp *:" + strconv.Itoa(int(port)) }

// listenerAt is who answers at an address, or nil. An unspecified address means this host, as connect(2) has it.
func (k *Kernel) listenerAt(a backend.Address) *listener {
	if a.Kind == backend.UnixAddress {
		return k.listeners[listenKey(a)]
	}
	if a.IP.Addr().IsUnspecified() {
		a.IP = netip.AddrPortFrom(loopbackOf(a), a.IP.Port())
	}
	l := k.listeners[listenKey(a)]
	if l == nil {
		l = k.listeners[anyHost(a.IP.Port())]
	}
	if l != nil && l.shares != nil {
		return (*l.shares)[k.random.IntN(len(*l.shares))]
	}
	return l
}

// listen makes a listener. Those that share their address find room beside each other.
func (k *Kernel) listen(addr backend.Address, backlog int, share bool) (*listener, error) {
	if addr.Kind == backend.TCPAddress && addr.IP.Port() == 0 {
		addr.IP = netip.AddrPortFrom(addr.IP.Addr(), k.port())
	}
	l := &listener{k: k, key: listenKey(addr), addr: addr, backlog: backlog}
	first := k.listeners[l.key]
	switch {
	case first == nil && share:
		l.shares = &[]*listener{l}
	case first == nil:
	case !share || first.shares == nil:
		return nil, syscall.EADDRINUSE
	default:
		l.shares = first.shares
		*l.shares = append(*l.shares, l)
	}
	k.listeners[l.key] = l
	return l, nil
}

func (k *Kernel) port() uint16 {
	for {
		k.nextPort++
		if k.nextPort < 40000 {
			k.nextPort = 40000
		}
		if k.listeners[anyHost(k.nextPort)] == nil && k.listeners["tcp 127.0.0.1:"+strconv.Itoa(int(k.nextPort))] == nil {
			return k.nextPort
		}
	}
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// parseAddress is the address that listen and peers are given. Names are those that mean this host.
func parseAddress(network, address string) (backend.Address, error) {
	if network == "unix" {
		return backend.Address{Unix: address, Kind: backend.UnixAddress}, nil
	}
	if network == "vsock" {
		return backend.Address{}, errOtherKernels
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return backend.Address{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return backend.Address{}, &net.AddrError{Err: "invalid port", Addr: address}
	}
	ip := netip.IPv4Unspecified()
	switch host {
	case "":
	case "localhost":
		ip = loopback
	default:
		if ip, err = netip.ParseAddr(host); err != nil {
			return backend.Address{}, &net.AddrError{Err: "a simulated kernel knows no names", Addr: host}
		}
	}
	return backend.Address{IP: netip.AddrPortFrom(ip, uint16(port)), Kind: backend.TCPAddress}, nil
}

// freshAddress is an address for the end that connects to remote.
func (k *Kernel) freshAddress(remote backend.Address) backend.Address {
	if remote.Kind == backend.UnixAddress {
		return backend.Address{Kind: backend.UnixAddress}
	}
	return backend.Address{IP: netip.AddrPortFrom(loopbackOf(remote), k.port()), Kind: backend.TCPAddress}
}

// loopbackOf is this host in the family of an address.
func loopbackOf(a backend.Address) netip.Addr {
	if a.IP.Addr().Is6() {
		return netip.IPv6Loopback()
	}
	return loopback
}

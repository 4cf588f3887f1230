package connectors

import (
	"net"
	"syscall"
	"unsafe"
)

// Unsent returns how many bytes that were written to a TCP connection the other host has not acknowledged
// (SIOCOUTQ, see tcp(7)); 0 where that cannot be told. What piles up there is not the broker's slowness to
// answer: nothing of it has arrived.
func Unsent(c net.Conn) int {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	socket, ok := c.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	var n int32
	if err := raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
		if errno != 0 {
			n = 0
		}
	}); err != nil {
		return 0
	}
	return int(n)
}

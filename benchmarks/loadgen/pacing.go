package main

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	pollIn           = 1
	prSetTimerSlack  = 29
	slackNanoseconds = 1
)

// A pollFD is struct pollfd of poll(2).
type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

// pace begins calls at even intervals whatever comes of them (an open loop), on the connections in turn,
// and takes a call's latency from the moment at which it was due. With so many in flight as a server that
// cannot keep up would refuse, calls begin late.
//
// One thread does everything. It sleeps in ppoll, whose time-out is exact to microseconds, where Go's own
// timers wake at whole milliseconds and would make bursts of what is to be even.
func pace(open []carrier, work *workload, rate float64, most int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.Syscall(syscall.SYS_PRCTL, prSetTimerSlack, slackNanoseconds, 0)
	sockets, err := descriptors(open)
	if err != nil {
		return err
	}
	interval := time.Duration(float64(time.Second) / rate)
	due, more := time.Now(), true
	for turn := 0; ; {
		for ; more && underWay(open) < most && !time.Now().Before(due); turn++ {
			if more, err = beginDue(open[turn%len(open)], work, due); err != nil {
				return err
			}
			due = due.Add(interval)
		}
		under := underWay(open)
		if !more && under == 0 {
			return nil
		}
		wait := silence
		if more && under < most {
			wait = max(time.Until(due), 0)
		}
		if err := poll(sockets, wait); err != nil {
			return err
		}
		for place, each := range sockets {
			if each.revents == 0 {
				continue
			}
			if err := receiveAll(open[place]); err != nil {
				return err
			}
		}
	}
}

func underWay(open []carrier) int {
	sum := 0
	for _, each := range open {
		sum += each.open()
	}
	return sum
}

// beginDue sends one call; false when the workload has no more.
func beginDue(c carrier, work *workload, due time.Time) (bool, error) {
	next := work.next(due)
	if next == nil {
		return false, nil
	}
	if err := c.begin(next, due); err != nil {
		return false, err
	}
	return true, c.flush()
}

// receiveAll takes what has arrived on a connection.
func receiveAll(c carrier) error {
	for {
		if _, err := c.receive(); err != nil {
			return fmt.Errorf("%d calls in flight: %w", c.open(), err)
		}
		if !c.buffered() {
			return c.flush() // acknowledgements, and what the server's window has room for now
		}
	}
}

func descriptors(open []carrier) ([]pollFD, error) {
	found := make([]pollFD, len(open))
	for i, each := range open {
		socket, plain := each.socket().(syscall.Conn)
		if !plain {
			return nil, errors.New("-rate is for plain text: what TLS has decrypted already, ppoll does not see")
		}
		raw, err := socket.SyscallConn()
		if err != nil {
			return nil, err
		}
		err = raw.Control(func(fd uintptr) { found[i] = pollFD{fd: int32(fd), events: pollIn} })
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// poll waits until a socket is readable or the time is over.
func poll(sockets []pollFD, wait time.Duration) error {
	timeout := syscall.NsecToTimespec(int64(wait))
	_, _, code := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&sockets[0])),
		uintptr(len(sockets)), uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if code != 0 && code != syscall.EINTR {
		return code
	}
	return nil
}

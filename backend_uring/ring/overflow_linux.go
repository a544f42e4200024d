package ring

import (
	"fmt"
	"os"
	"strings"
)

// Held returns copies of the completions that the kernel holds because the queue had no room for them, without taking
// them. Any thread may call it, also where Enter would have to be called by the ring's own: it reads what proc(5) shows
// of the descriptor. Without /proc, or if the kernel is busy with the ring, it returns none.
func (r *Ring) Held() []CQE {
	if r.fd < 0 || !r.Overflowed() {
		return nil
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", r.fd))
	if err != nil {
		return nil
	}
	return heldIn(string(info))
}

// heldIn finds them in the text of io_uring_show_fdinfo, io_uring/fdinfo.c.
func heldIn(info string) (all []CQE) {
	_, list, _ := strings.Cut(info, "\nCqOverflowList:\n")
	for line := range strings.Lines(list) {
		var c CQE
		if n, _ := fmt.Sscanf(line, " user_data=%d, res=%d, flags=%x", &c.UserData, &c.Res, &c.Flags); n != 3 {
			break
		}
		all = append(all, c)
	}
	return all
}

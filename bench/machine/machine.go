//go:build linux

package machine

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/tandem-io/tandem/bench/process"
	"github.com/tandem-io/tandem/bench/results"
	"golang.org/x/sys/unix"
)

// Facts describes the machine, as far as the kernel reveals it.
func Facts() results.Machine {
	cpus, _ := process.AllowedCPUs() // none: unknown
	return results.Machine{
		CPU: cpuInfo("model name"), CPUs: len(cpus), Memory: totalMemory(), Kernel: kernelRelease() + " " + runtime.GOARCH,
		Governor: readLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), Mitigations: mitigations(),
		Virtual: hypervisor(), Go: runtime.Version(), Modules: modules(),
	}
}

// readLine returns the trimmed content of a small file, or "".
func readLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// cpuInfo is the first value of a key of /proc/cpuinfo. arm64 has no model name.
func cpuInfo(key string) string {
	for line := range strings.Lines(readLine("/proc/cpuinfo")) {
		if k, value, _ := strings.Cut(line, ":"); strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func totalMemory() int64 {
	for line := range strings.Lines(readLine("/proc/meminfo")) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// mitigations lists what the kernel does against each vulnerability of the CPU. Most make system calls slower.
func mitigations() map[string]string {
	const dir = "/sys/devices/system/cpu/vulnerabilities"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	all := make(map[string]string, len(entries))
	for _, e := range entries {
		all[e.Name()] = readLine(filepath.Join(dir, e.Name()))
	}
	return all
}

// hypervisor names the host of this virtual machine. It is "" on a physical machine and where the host is not visible.
func hypervisor() string {
	if kind := readLine("/sys/hypervisor/type"); kind != "" {
		return kind
	}
	if !strings.Contains(" "+cpuInfo("flags")+" ", " hypervisor ") {
		return ""
	}
	dmi := strings.TrimSpace(readLine("/sys/class/dmi/id/sys_vendor") + " " + readLine("/sys/class/dmi/id/product_name"))
	if dmi != "" {
		return dmi
	}
	// Small guests have no DMI tables, but a clock from their host.
	clock := readLine("/sys/devices/system/clocksource/clocksource0/available_clocksource")
	for mark, name := range map[string]string{"kvm": "KVM", "hyperv": "Hyper-V", "xen": "Xen"} {
		if strings.Contains(clock, mark) {
			return name
		}
	}
	return "a hypervisor that gives no name"
}

// modules lists the modules that this program was built from.
func modules() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	all := make(map[string]string, len(info.Deps))
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil {
			version = m.Replace.Path + " " + m.Replace.Version
		}
		all[m.Path] = strings.TrimSpace(version)
	}
	return all
}

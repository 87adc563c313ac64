# The agent's pod, as a script: a root that holds nothing but the program, read-only, in mount and pid namespaces of its own.
# Arguments: ROOT GROUP CLOSED BINARY (CLOSED are the digits of descriptors that the agent starts without), then KIND SOURCE TARGET for each thing mounted, then `--`, the environment as NAME=VALUE, `--`,
# and the agent's own arguments. KIND is ro or rw (a bind), or tmpfs (SOURCE is its size).
set -euo pipefail
root=$1 group=$2 closed=$3 binary=$4
shift 4
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir -p "$root"/{proc,dev,etc/ssl/certs}
mount -t proc proc "$root/proc"
for file in /dev/null /dev/zero /dev/random /dev/urandom /dev/full /etc/hosts /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
  [[ -e $file ]] || continue
  touch "$root$file"
  mount --bind "$file" "$root$file"
done
touch "$root/podwright"
mount --bind "$binary" "$root/podwright"
mount -o remount,bind,ro "$root/podwright"
while [[ $1 != -- ]]; do
  kind=$1 source=$2 target=$root$3
  shift 3
  if [[ -d $source || $kind == tmpfs ]]; then mkdir -p "$target"; else mkdir -p "${target%/*}" && touch "$target"; fi
  case $kind in
    ro) mount --bind "$source" "$target" && mount -o remount,bind,ro "$target" ;;
    rw) mount --bind "$source" "$target" ;;
    tmpfs) mount -t tmpfs -o "size=$source,uid=65532,gid=65532,mode=0700" tmpfs "$target" ;;
  esac
done
shift
mount -o remount,ro "$root"
# The last step needs no program inside the new root, which is why it is none of setpriv, chroot and env.
exec python3 -I -c '
import ctypes, os, signal, sys
root, group, closed, rest = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
split = rest.index("--")
libc = ctypes.CDLL(None, use_errno=True)
os.chroot(root)
os.chdir("/")
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
for capability in range(64):
    libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.setgroups([group] if group else [])
os.setresgid(65532, 65532, 65532)
os.setresuid(65532, 65532, 65532)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
    sys.exit("no_new_privs cannot be set")
for ignored in (signal.SIGPIPE, signal.SIGXFSZ): # Python ignores them, and that would be inherited
    signal.signal(ignored, signal.SIG_DFL)
environment = dict(pair.split("=", 1) for pair in rest[:split])
for descriptor in closed:
    os.close(int(descriptor))
os.execve("/podwright", ["podwright", *rest[split + 1:]], environment)
' "$root" "$group" "$closed" "$@"

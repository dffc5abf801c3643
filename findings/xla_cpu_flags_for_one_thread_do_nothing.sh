#!/usr/bin/env bash
# The flags that are passed around for running JAX on one CPU thread leave it all threads.
#
# Expected: XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" limits a process to one thread, as answers
# and issues about JAX have said for years. Seen with jax 0.10.2 on two and more cores: products of matrices are shared by as many
# threads as without the flags; OMP_NUM_THREADS=1 changes nothing either. What limits them is the set of cores that the process may
# use when JAX starts (taskset, os.sched_setaffinity).
set -euo pipefail
if [ "$(nproc)" -lt 2 ]; then
  echo "one core: there is nothing to see"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 numpy==2.3.5
cat > "$folder/busy.py" <<'PY'
from pathlib import Path

import jax
import jax.numpy as jnp


def ticks():
    """Processor time of every thread, in ticks of 10 ms."""
    stats = {task.name: (task / "stat").read_text().rpartition(")")[2].split() for task in Path("/proc/self/task").iterdir()}
    return {name: int(fields[11]) + int(fields[12]) for name, fields in stats.items()}


x = jnp.ones((2000, 2000))
product = jax.jit(lambda x: x @ x)
product(x).block_until_ready()
before = ticks()
for _ in range(40):
    product(x).block_until_ready()
spent = {name: count - before.get(name, 0) for name, count in ticks().items()}
print(sum(count > 0.1 * sum(spent.values()) for count in spent.values()))
PY
export JAX_PLATFORMS=cpu
first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
plain=$("$folder/venv/bin/python" "$folder/busy.py")
flags=$(XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/busy.py")
pinned=$(taskset -c "$first" "$folder/venv/bin/python" "$folder/busy.py")
echo "threads that compute: $plain as it starts, $flags with the flags, $pinned on a set of one core"
test "$plain" -gt 1
test "$flags" -gt 1
test "$pinned" = 1

#!/bin/bash
# Trains on all nodes of a Slurm job, one process a node. From the repository:
#   sbatch docs/slurm.sh TRAIN_DIR --data_dir DIR [--flag ...]
# Both folders must be on a file system that all nodes share. What the numbers
# mean, and how to stop it: docs/distributed.md.
#SBATCH --job-name=wavegan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

MAX_STARTS=100
PATH=$PWD/.venv/bin:$PATH

# Two jobs on a node must not meet.
port=$((20000 + SLURM_JOB_ID % 10000))
WORKERS=$(printf '"%s",' $(scontrol show hostnames "$SLURM_JOB_NODELIST" |
  sed "s/\$/:$port/"))
export WORKERS

# srun returns the highest code of its tasks. So that the 69 of those that lost
# a worker does not hide why that one left, 1, 2 and 3 become 201, 202 and 203.
# Slurm signals shell and program alike: the shell waits for the program.
worker='
  trap : TERM INT
  task="{\"type\": \"worker\", \"index\": $SLURM_NODEID}"
  export TF_CONFIG="{\"cluster\": {\"worker\": [${WORKERS%,}]}, \"task\": $task}"
  python train_wavegan.py train "$@"
  code=$?
  case $code in [123]) code=$((200 + code)) ;; esac
  exit $code
'

# Time is nearly over: let the workers save and stop. SIGTERM is for them alone:
# if srun itself gets one, it kills them.
out_of_time=
trap 'out_of_time=yes; scancel --signal=TERM "$SLURM_JOB_ID"' USR1

# A worker that ends early does not end the others: the first must save.
srun --kill-on-bad-exit=0 --wait=0 --label \
  --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  bash -c "$worker" worker "$@" &
wait $!
code=$?
if [ "$out_of_time" ]; then
  wait $!  # the trap ended the first one
  code=$?
fi

case $code in
  20[123]) exit $((code - 200)) ;;  # it would happen again
  0 | 130 | 143) [ "$out_of_time" ] || exit $code ;;  # done, or stopped by you
esac
if [ "${SLURM_RESTART_COUNT:-0}" -lt "$MAX_STARTS" ]; then
  echo "exit code $code: starting again from the last checkpoint" >&2
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code

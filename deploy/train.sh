#!/usr/bin/env bash
# The whole pipeline on a cluster, on the first machine: every stage by DVC, but the training by the command that is given,
# which starts it on all machines. SLURM: deploy/slurm/train.sbatch; Kubernetes: deploy/kubernetes.
#   deploy/train.sh srun torchrun ... -m pipeline.train
# All machines see this folder. SIGTERM stops what is running, which saves its state; run again, it resumes.
set -euo pipefail
cd "$(dirname "$0")/.."

stopping='' step=''
trap 'stopping=yes; [ -z "$step" ] || kill -TERM "$step" 2>/dev/null || true' TERM

# In the background, because bash acts on a signal between two commands only.
run() {
    local code=0
    [ -z "$stopping" ] || exit 143
    "$@" &
    step=$!
    wait "$step" || code=$?
    while kill -0 "$step" 2>/dev/null; do # a signal ended the wait, and not the command
        wait "$step" && code=0 || code=$?
    done
    step=''
    [ -z "$stopping" ] || exit 143
    return "$code"
}

run dvc repro preprocess
if ! dvc status --quiet train; then
    run "$@"
    run dvc commit --force train
fi
run dvc repro

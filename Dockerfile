# All programs, in /wavegan; for the CPU, or for an NVIDIA GPU:
#   docker build -t wavegan .
#   docker build -t wavegan --build-arg REQUIREMENTS=requirements-gpu.txt .
# Files go to and come from a folder that is mounted:
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" wavegan \
#     python train_wavegan.py generate --pretrained --out_dir /data/clips
FROM python:3.12-slim

ARG REQUIREMENTS=requirements.txt
# A user without a home: what libraries cache goes to /tmp.
ENV HOME=/tmp
WORKDIR /wavegan

COPY requirements*.txt ./
RUN pip install --no-cache-dir -r "$REQUIREMENTS"

COPY . .
RUN python -m compileall -q .

CMD ["python", "train_wavegan.py", "--help"]

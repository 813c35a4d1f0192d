# The service's image with Ray, for docker/kubernetes/ray: docker build -f docker/ray.Dockerfile -t virtual-codec:ray docker
ARG BASE=virtual-codec:cpu
FROM ${BASE}
ARG PIP_INDEX_URL
USER 0
# KubeRay starts `ray` from a login shell, which has a PATH of its own, and its probes use wget.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends wget \
 && rm -rf /var/lib/apt/lists/* \
 && pip --python /opt/vcodec/bin/python install --no-cache-dir 'ray[serve]>=2.60,<2.61' \
 && ln -s /opt/vcodec/bin/ray /opt/vcodec/bin/serve /usr/local/bin/
ENV RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
EXPOSE 8000
CMD ["serve", "run", "virtual_codec.serving.ray:app"]

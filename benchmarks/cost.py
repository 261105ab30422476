"""What Roomkey costs: per million tokens, and per month at rest. Prices are list prices of us-east-1 in 2025, in USD.

Lambda's own log lines have the length of their format with typical values; so has a line of API Gateway's access log.
"""

import math
import re
from collections.abc import Mapping

GB_SECOND = 0.0000133334
"""Lambda on arm64."""
MILLION_REQUESTS = 0.20
MILLION_SECRET_READS = 5.00
MILLION_API_CALLS = 1.00
LOG_GIGABYTE = 0.50
SNAPSHOT_GB_SECOND = 0.0000015046
"""SnapStart's cache, for as long as a version is published."""
RESTORED_GB = 0.0001397998
METRIC_MONTH = 0.30
"""For each metric and set of dimensions, in the hours in which it is written."""
ALARM_METRIC_MONTH = 0.10
"""For each metric that an alarm reads."""
DASHBOARD_MONTH = 3.00
SECRET_MONTH = 0.40

WHOLE_PROCESSOR = 1769
"""MB at which Lambda gives one whole processor; less memory gets its share of one."""
COLD_SHARE = 0.005
"""Share of the requests that start an environment."""
SECONDS_BETWEEN = 1.0
"""Between two requests to one environment. Each reads its secret once in `CACHED_SECONDS`, and at its start."""
CACHED_SECONDS = 300.0

_ID = "8f507cfc-0000-4697-b07a-ac58fc914c95"
_SYSTEM_LINES = (
    f"START RequestId: {_ID} Version: 42\n",
    f"END RequestId: {_ID}\n",
    f"REPORT RequestId: {_ID}\tDuration: 1.27 ms\tBilled Duration: 2 ms\t"
    "Memory Size: 512 MB\tMax Memory Used: 64 MB\t\n",
)
_CONTEXT = {
    "requestId": "JKJaXmPLvHcESHA=",
    "requestTime": "28/Nov/2026:12:00:00 +0000",
    "identity.sourceIp": "203.0.113.123",
    "httpMethod": "POST",
    "routeKey": "POST /v1/{platform}/app-token",
    "status": "200",
    "responseLatency": "12",
    "responseLength": "612",
    "error.responseType": "-",
    "authorizer.error": "-",
    "integration.status": "200",
    "integration.latency": "9",
    "integration.requestId": _ID,
}


def log_cost(size: float) -> float:
    """Return the cost of a million requests that each write `size` bytes to a log."""
    return size * 1e6 / 1e9 * LOG_GIGABYTE


def system_log_cost() -> float:
    """Return the cost of Lambda's START, END and REPORT lines of a million requests."""
    return log_cost(sum(map(len, _SYSTEM_LINES)))


def access_log_cost(log_format: str) -> float:
    """Return the cost of API Gateway's access log of a million requests. Raises `KeyError` for an unknown variable."""
    line = re.sub(r"\$context\.([\w.]*\w)", lambda found: _CONTEXT[found[1]], log_format)
    return log_cost(len(line) + 1)


def compute_cost(figures: Mapping[str, float], memory: int) -> float:
    """Return the cost of a million requests in Lambda with `memory` MB.

    The wait is billed as measured; processor time grows as the share of a processor shrinks. `figures` are medians in
    milliseconds: `cold`, `cold_cpu`, `warm`, `warm_cpu`.
    """
    share = min(1, memory / WHOLE_PROCESSOR)

    def billed(wall: float, cpu: float) -> float:
        return math.ceil(max(wall - cpu, 0) + cpu / share) / 1000 * memory / 1024 * GB_SECOND

    warm = billed(figures["warm"], figures["warm_cpu"])
    cold = billed(figures["cold"], figures["cold_cpu"])
    return MILLION_REQUESTS + 1e6 * ((1 - COLD_SHARE) * warm + COLD_SHARE * cold)


def function_cost(figures: Mapping[str, float], memory: int) -> float:
    """Return the cost of a million tokens: Lambda, the function's own log lines, and reads of secrets."""
    reads = max(COLD_SHARE, SECONDS_BETWEEN / CACHED_SECONDS) if figures["cold_calls"] else 0
    return compute_cost(figures, memory) + log_cost(figures["log_bytes"]) + reads * MILLION_SECRET_READS


def alarm_metrics(template: str) -> int:
    """Return the number of metrics that the alarms of a template (YAML) read."""
    resources = re.split(r"^  (?=\w+:$)", template, flags=re.MULTILINE)
    return sum(one.count("MetricStat:") or 1 for one in resources if "Type: AWS::CloudWatch::Alarm\n" in one)


def snapstart_cost(init_ms: float, memory: int) -> tuple[float, float, float]:
    """Return SnapStart's cost per month and published version, and per million restores, and what those save."""
    gigabytes = memory / 1024
    saved = math.ceil(init_ms) / 1000 * gigabytes * GB_SECOND * 1e6
    return gigabytes * 30 * 86400 * SNAPSHOT_GB_SECOND, gigabytes * RESTORED_GB * 1e6, saved

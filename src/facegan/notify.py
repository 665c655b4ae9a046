"""Tell people: a line to a webhook, in the form that Slack, Mattermost and others take. Never a reason to fail."""

import json
import os
import sys
import urllib.request

from facegan.tracking.errors import one_line

VARIABLE = "FACEGAN_WEBHOOK"  # its URL, which is a secret
_SECONDS = 5.0


def notify(text: str) -> None:
    """Post ``text``, where the environment names a webhook; what goes wrong is a line on stderr."""
    url = os.environ.get(VARIABLE)
    if not url:
        return
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("should be an HTTP address")
        content = json.dumps({"text": text}).encode()
        request = urllib.request.Request(url, content, {"Content-Type": "application/json"})  # noqa: S310
        urllib.request.urlopen(request, timeout=_SECONDS).close()  # noqa: S310
    except Exception as error:  # the event itself has happened, whatever this is
        print(f"{VARIABLE}: nobody was told ({one_line(error).replace(url, '***')})", file=sys.stderr)

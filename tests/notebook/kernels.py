"""A kernel, and the messages that a front end sends it."""

from __future__ import annotations

from typing import Any

SETUP = "%load_ext flowbook\nimport numpy as np\nimport flowbook as fb"
NODES = "print([node.name for node in fb.get_default_graph().nodes])"


class Kernel:
    """A kernel and the messages a front end would send."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __call__(self, source: str, cell_id: str | None = None, deleted: list[str] | None = None) -> dict[str, Any]:
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        message = self.client.session.msg("execute_request", content)
        message["metadata"] = {"deletedCells": deleted or [], **({"cellId": cell_id} if cell_id else {})}
        self.client.shell_channel.send(message)
        found: dict[str, Any] = {"text": "", "data": [], "updated": []}
        while True:
            reply = self.client.get_iopub_msg(timeout=60)
            if reply["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            kind, body = reply["msg_type"], reply["content"]
            if kind == "stream":
                found["text"] += body["text"]
            elif kind in ("display_data", "execute_result"):
                found["data"].append(body["data"])
            elif kind == "update_display_data":
                found["updated"].append(body["data"])
            elif kind == "error":
                found["error"] = body
            elif kind == "status" and body["execution_state"] == "idle":
                break
        while reply["msg_type"] != "execute_reply" or reply["parent_header"]["msg_id"] != message["header"]["msg_id"]:
            reply = self.client.get_shell_msg(timeout=60)
        found["status"] = reply["content"]["status"]
        return found

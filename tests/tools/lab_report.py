"""What there is to know of a JupyterLab in which something did not happen: page, views, kernels, server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.tools.lab import Lab

# What a kernel tells of its views, if it answers.
_KERNEL = """
from flowbook.notebook.live.liveview import VIEWS as _VIEWS
for _view in _VIEWS._views.values():
    print(type(_view).__name__, list(_view.channels.values()), len(_view._greeted), _view.memory.graph is not None)
"""
# And what its threads are doing, also if it does not.
STACKS = """
import faulthandler as _faulthandler, os as _os, signal as _signal
_stacks = open(_os.path.join({folder!r}, f"stacks-{{_os.getpid()}}.txt"), "w")
if hasattr(_faulthandler, "register"):
    _faulthandler.register(_signal.SIGUSR1, file=_stacks, all_threads=True)
"""


def deaf(lab: Lab) -> bool:
    """Whether the kernel is idle, as far as the page knows, and does not answer its most plain request."""
    return bool(
        lab._in_page(
            """
            const kernel = panel()?.sessionContext.session?.kernel;
            if (kernel?.status !== 'idle') return false;
            const asked = kernel.requestExecute({code: '', silent: true, store_history: false});
            return await Promise.race([asked.done.then(() => false, () => true), sleep(10000).then(() => true)]);
            """
        )
    )


def report(lab: Lab) -> str:
    """What there is to know when something did not happen in time: of the page, the kernel, and the server."""
    page = lab._in_page(
        """
        const kernel = panel()?.sessionContext.session?.kernel;
        const texts = name => [...document.querySelectorAll(name)].map(node => node.innerText);
        let said = '';
        const asked = kernel?.requestExecute({code: argument, silent: false, store_history: false});
        if (asked) {
            asked.onIOPub = message => { said += message.content.text ?? message.content.traceback ?? ''; };
            const answered = asked.done.then(() => '', error => `(refused: ${error})`);
            const answer = await Promise.race([answered, sleep(5000)]) ?? '(no answer in 5 s)';
            const stuck = await Promise.race([kernel._msgChain, sleep(1000).then(() => '(messages wait)')]) ?? '';
            said += answer + stuck;
        }
        return [said, {
            kernel: [kernel?.connectionStatus, kernel?.status, `${kernel?._pendingMessages?.length} to be sent`],
            information: await Promise.race([kernel?.info, sleep(1000)]) ? 'there' : 'not there',
            prompts: texts('.jp-InputPrompt'),
            dialogs: texts('.jp-Dialog'),
            outputs: texts('.jp-OutputArea-output').map(text => text.slice(0, 1000)),
            views: [...document.querySelectorAll('.flowbook-output')].map(node => node.innerHTML.slice(0, 300)),
        }];
        """,
        _KERNEL,
    )
    log = lab._log.read_text(errors="replace")[-4000:]
    said = ["kernel:", page[0], _other_client(lab), *_stacks(lab), "server log:", log]
    return "\n".join([json.dumps(page[1], indent=1), *lab.errors, *said])


def _other_client(lab: Lab) -> str:
    """Whether the kernel answers somebody who is not the page."""
    from jupyter_client.blocking.client import BlockingKernelClient

    found = []
    for each in (lab._folder / "runtime").glob("kernel-*.json"):
        client = BlockingKernelClient(connection_file=str(each))
        client.load_connection_file()
        client.start_channels(hb=False)
        try:
            client.execute("", silent=True, reply=True, timeout=5)
            found.append("another client is answered")
        except Exception as error:
            found.append(f"another client is not answered: {error!r}")
        finally:
            client.stop_channels()
    return ", ".join(found)


def _stacks(lab: Lab) -> list[str]:
    """What the threads of each kernel are doing, where the system has signals for that."""
    found = list(lab._folder.glob("stacks-*.txt"))
    for each in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(each.stem.removeprefix("stacks-")), signal.SIGUSR1)
    time.sleep(0.5 if found else 0)
    return [text for each in found if (text := each.read_text())]

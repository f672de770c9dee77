"""What the source scan knows about code that it does not read: tables, and how to add to them.

The scan follows the app's own code and stops at installed packages and the standard library.
There a dotted name decides. `EFFECTS` maps a prefix of `module.qualname` to one of five
effects, the longest prefix wins, and what no prefix matches is judged by its name: a verb such
as `send` or `create` writes outward, anything else reads outside.

All tables are plain mutable data. `register` adds to them from an app.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, get_args

Effect = Literal["reader", "model", "outside read", "outward write", "mutator"]
"""What calling a piece of foreign code does.

- `reader`: looks at its arguments and returns something; touches nothing else.
- `model`: reads something outside that no node writes (chat models, embedders, search).
- `outside read`: reads files, a database, the network, the environment.
- `outward write`: changes something outside the process.
- `mutator`: changes its first argument in place.
"""

Kind = Literal["own", Effect]


def _words(text: str) -> set[str]:
    return set(text.split())


MUTATORS: dict[str, set[str]] = {
    "list": {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"},
    "dict": {"update", "pop", "popitem", "clear", "setdefault", "move_to_end"},
    "set": _words(
        "add update discard remove pop clear difference_update intersection_update "
        "symmetric_difference_update "
    ),
    "deque": _words("appendleft extendleft popleft rotate"),
    "bytearray": {"append", "extend", "insert", "pop", "clear"},
    "Counter": {"subtract"},
    "operators": _words(
        "__setitem__ __delitem__ __setattr__ __delattr__ __iadd__ __ior__ __iand__ __isub__ "
        "__ixor__ __imul__ __setstate__ "
    ),
}
"""Methods that change a builtin container, by container."""

MUTATING_METHODS: set[str] = set().union(*MUTATORS.values())
"""All of them: which container a value is may not be known."""

MUTATING_WORDS: set[str] = _words(
    "add append appendleft clear decrement delete discard extend fill increment insert pop "
    "popitem popleft push put register remove reset reverse rotate set setdefault shuffle "
    "sort store subtract update upsert write "
)
"""First words of method names that change an object of an installed package (`add_documents`)."""

PLAIN_METHODS: set[str] = {
    name
    for kind in (str, bytes, int, float, complex, list, tuple, dict, set, frozenset, range)
    for name in dir(kind)
} | _words(
    "appendleft extendleft popleft rotate subtract elements most_common total move_to_end "
    "isoformat strftime timestamp date time weekday total_seconds astimezone model_dump "
    "model_dump_json model_copy dict json pretty_repr pretty_print get_type_hints group "
    "groups groupdict start end span done result exception cancelled add_done_callback text "
    "content_blocks tolist item mean sum keys reset _replace _asdict "
)
"""Methods of plain values: calling one on a value of unknown type reaches nothing outside."""

OUTWARD_VERBS: set[str] = _words(
    "send post put patch create update upsert delete insert publish charge pay refund "
    "transfer notify email upload write save store submit enqueue dispatch emit trigger "
    "execute executemany executescript commit rollback remove drop cancel book order deploy "
    "push commit append mkdir rmdir touch chmod unlink rename move copyfile register "
    "subscribe unsubscribe set increment decrement produce schedule delay flush savefig "
    "writerow writerows writeheader writelines writestr sendall extractall truncate quit "
    # What key-value stores call it.
    "incr incrby decr decrby hset hincrby lpush rpush lpop rpop sadd srem zadd zrem xadd setex "
    "setnx mset expire "
    "add kill terminate purchase reserve invite approve reject close_ticket comment reply "
    "tweet dump_to "
)
"""First words of a foreign function's name that say that it changes something outside."""

OUTWARD_NAMES: set[str] = _words(
    "replace_one to_csv to_parquet to_sql to_pickle to_excel to_feather to_hdf to_file apply_async "
)
"""Names that say so as a whole."""

GIVE_PATHS: set[str] = _words(
    "Path PurePath PosixPath WindowsPath PurePosixPath PureWindowsPath parent parents with_name "
    "with_stem with_suffix with_segments joinpath resolve absolute expanduser glob rglob iterdir "
    "walk relative_to home cwd rename replace readlink "
)
"""What gives paths once more, of paths. The rest gives text, numbers, or a file."""

GIVE_TEXT: set[str] = _words(
    "read readline readlines read_text read_bytes getenv getcwd listdir getpass input exists "
)
"""Calls outside that give text or plain lists of it, which belong to nobody else."""

SQL_READS: tuple[str, ...] = ("select", "with", "show", "explain", "describe", "pragma", "values")
"""How SQL that only reads begins."""

HTTP_READS: set[str] = {"GET", "HEAD", "OPTIONS"}

INVOKE_METHODS: set[str] = _words(
    "invoke ainvoke stream astream batch abatch batch_as_completed abatch_as_completed "
    "transform atransform astream_events astream_log generate agenerate predict apredict run "
    "arun generate_prompt agenerate_prompt get_relevant_documents aget_relevant_documents "
)
"""Methods that run a Runnable; handing the config to one of them is the normal thing to do."""

WRAP_METHODS: set[str] = _words(
    "bind with_config with_retry with_types with_listeners with_alisteners bind_tools "
    "with_structured_output configurable_fields configurable_alternatives with_fallbacks "
)
"""Methods that give a Runnable that runs the same thing; what they are given is not run."""

MODEL_BASES: set[str] = {
    "langchain_core.language_models.base.BaseLanguageModel",
    "langchain_core.language_models.chat_models.BaseChatModel",
    "langchain_core.language_models.llms.BaseLLM",
    "langchain_core.embeddings.embeddings.Embeddings",
    "langchain_core.retrievers.BaseRetriever",
    "langchain_core.documents.compressor.BaseDocumentCompressor",
}
"""Base classes (module and name) whose instances read what no node writes."""

CURSOR_MODELS: set[str] = {
    f"langchain_core.language_models.{name}"
    for name in (
        "fake.FakeListLLM",
        "fake_chat_models.FakeMessagesListChatModel",
        "fake_chat_models.FakeListChatModel",
        "fake_chat_models.GenericFakeChatModel",
    )
}
"""Fake models that answer from a list: the order of calls decides who gets which answer."""

EFFECTS: dict[str, Effect] = {}
"""Effect by dotted prefix; filled below, added to by `register`."""

FOLLOWED: set[str] = {"langgraph.prebuilt", "langchain.agents"}
"""Installed modules whose source is followed as if it were the app's own."""

ALIASES: dict[str, str] = {"posix": "os", "nt": "os", "posixpath": "os.path", "ntpath": "os.path"}
"""Where C and platform modules are known by another name (`_x` is `x` without an entry)."""

_version = [0]


def register(kind: Kind, names: Iterable[str]) -> None:
    """Teach the scan what code in an installed package does.

    Args:
        kind: `"own"` makes the scan follow a package as the app's own code; the others say
            what calling it does (see `Effect`).
        names: Package, module, class or function names, dotted; a prefix covers all under it.

    Raises:
        ValueError: An unknown kind; the message lists the valid ones.

    Example:
        >>> register("model", ["acme_search"])
        >>> effect_of("acme_search.client", "Client.create_query")
        'model'
    """
    valid = ("own", *get_args(Effect))
    if kind not in valid:
        raise ValueError(f"{kind!r} is no kind. Valid: {', '.join(map(repr, valid))}.")
    for name in names:
        if kind == "own":
            FOLLOWED.add(name)
        else:
            EFFECTS[name] = kind
    _version[0] += 1


def version() -> int:
    """Changes whenever `register` was called, so that cached verdicts can be dropped."""
    return _version[0]


def effect_of(module: str, qualname: str) -> Effect | None:
    """The effect that the tables give a dotted name, None where no prefix is known.

    Example:
        >>> effect_of("os", "remove"), effect_of("json", "dumps"), effect_of("acme", "f")
        ('outward write', 'reader', None)
    """
    head, _, tail = module.partition(".")
    head = ALIASES.get(head, head.lstrip("_") or head)
    # Where a module keeps its parts is its own business: `pathlib._local` since Python 3.13.
    public = [part for part in tail.split(".") if not part.startswith("_")]
    name = ".".join(part for part in (head, *public, qualname) if part)
    while name:
        if (effect := EFFECTS.get(name)) is not None:
            return effect
        name = name.rpartition(".")[0]
    return None


def followed(module: str) -> bool:
    """Whether an installed module is read as if it were the app's own."""
    return any(module == name or module.startswith(name + ".") for name in FOLLOWED)


def words(name: str) -> list[str]:
    """The words of a name in snake_case or camelCase, in lower case.

    Example:
        >>> words("send_email"), words("createOrder")
        (['send', 'email'], ['create', 'order'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def writes_outward_by_name(name: str) -> bool:
    """Whether a foreign function's name says that it changes something outside.

    Example:
        >>> [writes_outward_by_name(n) for n in ("send_email", "get_or_create", "last_update")]
        [True, True, False]
    """
    if name in OUTWARD_NAMES:
        return True
    parts = words(name)
    while parts and parts[0] in ("a", "async", "do", "try", "bulk", "batch"):
        parts = parts[1:]
    if not parts:
        return False
    if parts[0] in OUTWARD_VERBS or (parts[0][0] == "a" and parts[0][1:] in OUTWARD_VERBS):
        return True
    return any(a in ("or", "and") and b in OUTWARD_VERBS for a, b in pairwise(parts))


def mutates_by_name(name: str) -> bool:
    """Whether a method's name says that it changes its own object."""
    if name in MUTATING_METHODS:
        return True
    parts = words(name)
    return bool(parts) and (
        parts[0] in MUTATING_WORDS or (parts[0][0] == "a" and parts[0][1:] in MUTATING_WORDS)
    )


def _fill(effect: Effect, names: str, prefix: str = "") -> None:
    for name in names.split():
        EFFECTS[prefix + name] = effect


_fill(
    "reader",
    "builtins json re math cmath copy logging itertools functools collections string textwrap "
    "datetime zoneinfo decimal fractions statistics numbers typing typing_extensions types "
    "dataclasses enum abc contextlib uuid random secrets time calendar hashlib hmac base64 "
    "binascii zlib gzip.compress gzip.decompress struct unicodedata operator difflib html pprint "
    "reprlib warnings traceback asyncio anyio concurrent threading heapq bisect array weakref "
    "inspect ast keyword tokenize urllib.parse urllib.error xml csv io.StringIO io.BytesIO "
    "io.TextIOWrapper.read pickle.dumps pickle.loads marshal sys gc locale colorsys graphlib "
    "shlex fnmatch ipaddress email mimetypes quopri http.HTTPStatus contextvars codecs sre_compile "
    "thread abc_data atexit os.path.join os.path.basename os.path.dirname os.path.splitext "
    "os.path.split os.path.normpath os.path.isabs os.path.commonpath os.fspath os.sep os.linesep "
    "os.getpid os.cpu_count pathlib.PurePath pathlib.Path.joinpath pathlib.Path.with_suffix "
    "pathlib.Path.with_name "
    # Installed packages that only compute.
    "pydantic pydantic_core pydantic_settings numpy scipy tiktoken tokenizers jinja2 yaml orjson "
    "ujson regex dateutil pytz attr attrs jsonschema jsonpatch rapidfuzz markdown markdown_it bs4 "
    "lxml nltk sklearn networkx sympy tabulate rich loguru structlog tenacity packaging "
    "langchain_text_splitters xxhash msgpack ormsgpack zstandard sniffio opentelemetry langsmith "
    "langchain_core langgraph langgraph_alto langchain.messages langchain.tools langchain.agents "
    "transformers.tokenization_utils_base",
)
_fill(
    "model",
    "openai anthropic cohere mistralai groq together fireworks ollama litellm voyageai replicate "
    "google.generativeai google.genai vertexai huggingface_hub.inference sentence_transformers "
    "transformers vllm langchain_openai langchain_anthropic langchain_google_genai "
    "langchain_google_vertexai langchain_mistralai langchain_groq langchain_cohere langchain_aws "
    "langchain_ollama langchain_fireworks langchain_together langchain_huggingface "
    "langchain_deepseek langchain_xai langchain_nvidia_ai_endpoints "
    "langchain.chat_models langchain.embeddings langchain_core.language_models "
    "langchain_core.embeddings langchain_core.retrievers "
    "tavily langchain_tavily exa_py langchain_exa duckduckgo_search ddgs serpapi googlesearch "
    "wikipedia wikipediaapi arxiv langchain_community.chat_models langchain_community.llms "
    "langchain_community.embeddings langchain_community.retrievers langchain_community.utilities "
    "langchain_community.tools.tavily_search langchain_community.tools.ddg_search "
    "langchain_community.tools.wikipedia",
)
_fill(
    "outside read",
    "os pathlib io glob tempfile linecache shutil.disk_usage shutil.which sqlite3 dbm shelve "
    "socket select ssl ftplib poplib imaplib telnetlib urllib.request http.client xmlrpc "
    "builtins.input builtins.open getpass platform pkgutil importlib zipfile tarfile pickle.load "
    "json.load csv.reader codecs.open numpy.load numpy.loadtxt numpy.genfromtxt numpy.fromfile "
    "numpy.memmap fileinput mmap stat "
    "langchain_core.vectorstores langgraph.pregel.remote langgraph_sdk",
)
_fill(
    "outward write",
    "subprocess smtplib shutil multiprocessing signal webbrowser syslog pty "
    "os.remove os.unlink os.rename os.renames os.replace os.mkdir os.makedirs os.rmdir "
    "os.removedirs os.system os.popen os.putenv os.unsetenv os.kill os.killpg os.chdir os.chmod "
    "os.chown os.link os.symlink os.truncate os.write os.utime os.umask os.fork os.execv os.execvp "
    "os.spawnl os.startfile os.open os.mkfifo os.posix_spawn "
    "pathlib.Path.write_text pathlib.Path.write_bytes pathlib.Path.mkdir pathlib.Path.touch "
    "pathlib.Path.unlink pathlib.Path.rename pathlib.Path.replace pathlib.Path.rmdir "
    "pathlib.Path.chmod pathlib.Path.symlink_to pathlib.Path.hardlink_to "
    "json.dump csv.writer.writerow csv.writer.writerows csv.DictWriter.writerow "
    "csv.DictWriter.writerows csv.DictWriter.writeheader zipfile.ZipFile.extract "
    "tarfile.TarFile.extract tarfile.TarFile.add tarfile.TarFile.addfile numpy.save numpy.savez "
    "numpy.savez_compressed numpy.savetxt numpy.ndarray.tofile "
    "socket.socket.send socket.socket.sendall socket.socket.sendto socket.socket.bind "
    "asyncio.create_subprocess_exec asyncio.create_subprocess_shell "
    # It ends the run after the step in which it is asked for.
    "langgraph.runtime.RunControl.request_drain "
    "tempfile.mkstemp tempfile.mkdtemp tempfile.NamedTemporaryFile tempfile.TemporaryDirectory "
    "queue.Queue.put queue.Queue.put_nowait queue.SimpleQueue.put "
    "asyncio.queues.Queue.put asyncio.queues.Queue.put_nowait "
    "logging.basicConfig logging.config sys.exit sys.setrecursionlimit locale.setlocale "
    "pickle.dump dbm.open shelve.open sys.path",
)
_fill(
    "mutator",
    "random.shuffle random.Random.shuffle random.SystemRandom.shuffle "
    "heapq.heappush heapq.heappop heapq.heapify heapq.heapreplace heapq.heappushpop "
    "bisect.insort bisect.insort_left bisect.insort_right operator.setitem operator.delitem "
    "operator.iadd operator.ior operator.iand operator.isub operator.ixor operator.imul "
    "operator.iconcat builtins.setattr builtins.delattr builtins.next builtins.anext numpy.put "
    "numpy.copyto numpy.random.shuffle numpy.place struct.pack_into",
)

"""Intel's quotes, SGX and TDX: signatures up to Intel's root, revocation and firmware level, at a given time.

Invariant: it returns `Evidence` only after the library has checked quote, quoting enclave, certificates, revocation
lists, TCB info and identity at `block_time`; whatever it is given, it raises nothing but the documented errors.
Source: Intel SGX DCAP, quote formats 3 to 5; PyPI ``dcap-qvl`` (MIT), which holds Intel's root certificate.
What it does not do: no clock and no network. Collateral is an input; Intel signs it, so anyone may hand it in.
"""

from __future__ import annotations

import json
from typing import Any, Final

from interlace.errors import VerificationError
from interlace.proofs.tee.evidence import Evidence, printable

MAX_QUOTE_BYTES: Final = 1 << 16
MAX_COLLATERAL_BYTES: Final = 1 << 20
_SGX_DEBUG: Final = 0x02
# Words in the library's messages that tell which check failed; what matches none is a signature or a chain.
_TIME: Final = ("expired", "issue date is in the future", "notvalidyet", "notyetvalid")
_TCB: Final = ("tcb level", "revoked", "tcb status")
_COLLATERAL: Final = ("fmspc", "pceid", "pce id", "unsupported qe identity", "unsupported tcb")
_DEBUG: Final = ("debug", "sept_ve_disable", "module identity")
_FORMAT: Final = ("failed to decode quote", "failed to parse quote", "unsupported quote version")
_WORDS: Final = (
    ("tee.format", _FORMAT),
    ("tee.time", _TIME),
    ("tee.debug", _DEBUG),
    ("tee.collateral", _COLLATERAL),
    ("tee.tcb", _TCB),
)


def _failed(code: str, why: str, hint: str = "") -> VerificationError:
    return VerificationError(code, printable(why), hint=hint)


def _library() -> Any:  # noqa: ANN401 - the package has no types
    try:
        import dcap_qvl
    except ImportError:
        raise _failed(
            "tee.extra-missing", "the package dcap-qvl is not installed", "pip install 'interlace[tee]'"
        ) from None
    return dcap_qvl


def _code(message: str) -> str:
    lowered = message.lower()
    for code, words in _WORDS:
        if any(word in lowered for word in words):
            return code
    return "tee.signature"


def verify_dcap(quote: bytes, collateral: bytes | str | None, block_time: int, root: bytes | None = None) -> Evidence:
    """Check an SGX or TDX quote.

    Parameters
    ----------
    quote
        The quote's bytes; zeros may follow, as they do where a producer pads.
    collateral
        JSON with Intel's certificates, revocation lists, TCB info and identity, as ``dcap-qvl`` writes it.
    block_time
        Seconds since 1970 at which everything must be valid.
    root
        DER of another root certificate, for tests; Intel's by default.

    Raises
    ------
    VerificationError
        ``tee.format``, ``tee.collateral``, ``tee.signature``, ``tee.time``, ``tee.tcb``, ``tee.debug`` or
        ``tee.extra-missing``.
    """
    library = _library()
    if len(quote) > MAX_QUOTE_BYTES:
        raise _failed("tee.format", f"a quote of {len(quote)} bytes, more than {MAX_QUOTE_BYTES}")
    if not collateral:
        hint = "fetch it from Intel's PCS or a cache of it, as of the block's time"
        raise _failed("tee.collateral", "an Intel quote is checked against collateral, and there is none", hint)
    if len(collateral) > MAX_COLLATERAL_BYTES:
        raise _failed("tee.collateral", f"{len(collateral)} bytes of collateral, more than {MAX_COLLATERAL_BYTES}")
    try:
        text = collateral if isinstance(collateral, str) else collateral.decode("utf-8")
        given = library.QuoteCollateralV3.from_json(text)
    except ValueError as error:
        raise _failed("tee.collateral", f"not the collateral of a quote: {error}") from None
    try:
        verifier = library.QuoteVerifier(root) if root is not None else library.QuoteVerifier()
        policy = library.QuotePolicy.claims_only(block_time)
        claims = json.loads(verifier.verify_with_policy(quote, given, block_time, policy).to_json())
    except (ValueError, OverflowError) as error:
        message = str(error).removeprefix("Verification failed: ").strip()
        raise _failed(_code(message), message) from None
    return _evidence(claims, official=root is None)


def _evidence(claims: dict[str, Any], *, official: bool) -> Evidence:
    ((form, report),) = claims["report"].items()
    report = {**report.get("base", {}), **report}
    where = "Intel SGX Root CA" if official else "a test root, not Intel's"
    fmspc = bytes(claims["platform"]["pck"]["fmspc"]).hex().upper()
    shared = {
        "signer": f"{where}; platform FMSPC {fmspc}",
        "official": official,
        "report_data": bytes.fromhex(report["report_data"]),
        "tcb_status": claims["tcb"]["status"],
        "advisories": tuple(sorted(printable(name, 64) for name in claims["tcb"]["advisory_ids"])),
    }
    if form == "SgxEnclave":
        return Evidence(
            kind="sgx",
            measurements={"mrenclave": _hex(report, "mr_enclave"), "mrsigner": _hex(report, "mr_signer")},
            product=report["isv_prod_id"],
            version=report["isv_svn"],
            debug=bool(_hex(report, "attributes")[0] & _SGX_DEBUG),
            **shared,
        )
    names = ("mr_td", "rt_mr0", "rt_mr1", "rt_mr2", "rt_mr3")
    further = ("mr_seam", "mr_config_id", "mr_owner", "mr_owner_config")
    # The low byte of a TD's attributes is the group "under debug": any bit in it opens the TD. A module that is not
    # Intel's has a signer, and one with attributes is a debug module; both could sign for any TD.
    unsafe = _hex(report, "td_attributes")[0] or any(_hex(report, "seam_attributes"))
    return Evidence(
        kind="tdx",
        measurements={name.replace("_", ""): _hex(report, name) for name in (*names, *further)},
        debug=bool(unsafe) or any(_hex(report, "mr_signer_seam")),
        **shared,
    )


def _hex(report: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(report[name])

"""Requests over real sockets: decoded, counted, cancelled, answered in time, and every failure a fault (OPC 10000-4, 7.38)."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from server.opcua.limits import Limits
from tests.integration.secure_clients import OPEN
from tests.unit.opcua.security_kit import Raw, frame, read_request


async def test_an_expensive_request_is_decoded_beside_the_loop(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN, limits=Limits(decode_inline_price=1000)) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        assert len((await raw.call(read_request(500))).Results) == 500
        await raw.close()


@pytest.mark.parametrize(
    "request_class",
    [
        ua.RegisterServerRequest,
        ua.RegisterServer2Request,
        ua.AddNodesRequest,
        ua.DeleteNodesRequest,
        ua.AddReferencesRequest,
        ua.DeleteReferencesRequest,
        ua.FindServersOnNetworkRequest,
        ua.QueryFirstRequest,
    ],
)
async def test_services_that_we_do_not_have_are_unsupported_for_everyone(tmp_path: Path, request_class: Any) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        assert await raw.call(request_class()) == "BadServiceUnsupported"
        await raw.close()


async def test_an_empty_list_and_a_too_long_one_are_refused_as_a_whole(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN, limits=Limits(nodes_per_read=3)) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        assert await raw.call(read_request(0)) == "BadNothingToDo"
        assert await raw.call(read_request(4)) == "BadTooManyOperations"
        response = await raw.call(read_request(3))
        assert len(response.Results) == 3
        assert response.ResponseHeader.RequestHandle == 7
        assert response.ResponseHeader.Timestamp.year >= 2024
        await raw.close()


async def test_a_request_that_does_not_decode_is_a_fault_and_a_header_that_does_not_ends_the_connection(
    tmp_path: Path,
) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        raw.send(raw.chunk(raw.body(read_request())[:-5]))
        assert await raw.response() == "BadDecodingError"
        body = raw.body(read_request())
        raw.send(raw.chunk(body.replace(struct.pack("<I", 0), struct.pack("<i", 77), 0)[:9]))
        assert await raw.error_code() == "BadDecodingError"
        assert await raw.ended()


async def test_a_response_larger_than_the_client_takes_is_replaced_by_a_fault(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.hello(maximum=5_000)
        await raw.open()
        # Endpoint descriptions with certificates are larger than 5,000 bytes.
        assert await raw.call(ua.GetEndpointsRequest()) == "BadResponseTooLarge"
        await raw.close()


async def test_cancel_answers_queued_requests_and_asks_the_service_sets(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()
        release = asyncio.Event()

        async def slow(_session: Any, _params: Any, _request: Any) -> Any:
            await release.wait()
            return ua.ReadResponse()

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, slow)
        session = next(iter(server.context.sessions))
        session.on_cancel.append(lambda _session, handle: 10 if handle == 5 else 0)
        raw.send(raw.chunk(raw.body(read_request(), handle=4), request_id=1))
        raw.send(raw.chunk(raw.body(read_request(), handle=5), request_id=2))
        raw.send(
            raw.chunk(
                raw.body(ua.CancelRequest(Parameters=ua.CancelParameters(RequestHandle=5)), handle=6), request_id=3
            )
        )
        assert await raw.response() == "BadRequestCancelledByClient"
        assert (await raw.response()).Parameters.CancelCount == 11
        release.set()
        assert isinstance(await raw.response(), ua.ReadResponse)
        await raw.close()


async def test_an_expired_timeout_hint_is_answered_bad_timeout(tmp_path: Path) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()

        async def slow(_session: Any, _params: Any, _request: Any) -> Any:
            server.clock.now += 1
            return ua.ReadResponse()

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, slow)
        raw.send(raw.chunk(raw.body(read_request())) + raw.chunk(raw.body(read_request(), hint_ms=500)))
        assert isinstance(await raw.response(), ua.ReadResponse)
        assert await raw.response() == "BadTimeout"
        await raw.close()


async def test_a_handler_that_fails_is_an_internal_error_without_its_secrets_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with frame(tmp_path, options=OPEN) as server:
        raw = await Raw.connect(server.port)
        await raw.session()

        async def broken(_session: Any, _params: Any, request: Any) -> Any:
            raise RuntimeError(request.header.AuditEntryId)

        server.context.services.register(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary, broken)
        request = read_request()
        request.RequestHeader.AuditEntryId = "password hunter2"
        assert await raw.call(request) == "BadInternalError"
        assert "RuntimeError" in caplog.text
        assert "hunter2" not in caplog.text
        await raw.close()

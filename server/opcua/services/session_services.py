"""Session service set: CreateSession, ActivateSession, CloseSession, Cancel (OPC 10000-4, 5.7)."""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.crypto import uacrypto
from cryptography.exceptions import InvalidSignature

from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.context import ServerContext
from server.opcua.errors import ChannelError, ServiceFaultError, code_name
from server.opcua.security.certificate_validation import CertificateRefusedError, check_application_uri, split_chain
from server.opcua.security.user_tokens import identify
from server.opcua.services.service_table import RequestContext
from server.opcua.session import ChannelIdentity, Session, readable
from server.users import User

Codes = ua.StatusCodes
Ids = ua.ObjectIds


class SessionServices:
    """The handlers, to be registered in the service table."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register(self) -> None:
        """Put the four services into the table."""
        table = self._context.services
        table.register(Ids.CreateSessionRequest_Encoding_DefaultBinary, self.create, session=False)
        table.register(Ids.ActivateSessionRequest_Encoding_DefaultBinary, self.activate, session=False)
        table.register(Ids.CloseSessionRequest_Encoding_DefaultBinary, self.close, session=False)
        table.register(Ids.CancelRequest_Encoding_DefaultBinary, self.cancel)

    async def create(self, _: None, params: Any, request: RequestContext) -> Any:
        """CreateSession: only the application that opened the channel gets a session on it."""
        context, channel = self._context, request.channel
        try:
            certificate = self._check_create(params, channel)
            session = context.sessions.create(
                channel=request.connection,
                peer=request.peer,
                name=params.SessionName,
                identity=ChannelIdentity(
                    channel.policy_uri,
                    channel.mode,
                    channel.peer.thumbprint if channel.peer else "",
                    channel.peer.chain if channel.peer else (),
                ),
                requested_timeout_ms=float(params.RequestedSessionTimeout or 0),
                application_uri=params.ClientDescription.ApplicationUri or "",
                client_certificate=certificate,
            )
        except ServiceFaultError as error:
            context.counters.rejected_sessions += 1
            if error.code != Codes.BadTooManySessions:
                context.counters.security_rejected_sessions += 1
            context.audit("CreateSession", False, "", request.peer, str(error))
            raise
        context.counters.sessions_created += 1
        session.audit("CreateSession", True, f"{session.name}, {session.application_uri}")
        response: Any = ua.CreateSessionResponse()
        result = response.Parameters
        result.SessionId, result.AuthenticationToken = session.id, session.authentication_token
        result.RevisedSessionTimeout = session.timeout_s * 1000
        result.ServerNonce = session.nonce
        result.ServerCertificate = context.own.der
        result.ServerEndpoints = context.endpoints.descriptions(params.EndpointUrl, request.connection.local_address)
        result.MaxRequestMessageSize = context.limits.message_bytes
        if channel.secured:
            result.ServerSignature.Algorithm = channel.policy.AsymmetricSignatureURI
            result.ServerSignature.Signature = await context.in_pool(
                channel.policy.asymmetric_cryptography.signature, certificate + (params.ClientNonce or b"")
            )
        return response

    def _check_create(self, params: Any, channel: SecureChannel) -> bytes:
        context = self._context
        if not context.accepting:
            raise ServiceFaultError(Codes.BadShutdown, "server is stopping")
        if not context.options.accepts(channel.policy_uri, channel.mode):
            raise ServiceFaultError(Codes.BadSecurityPolicyRejected, "channel serves discovery only")
        if params.ServerUri and params.ServerUri != context.endpoints.application_uri:
            raise ServiceFaultError(Codes.BadServerUriInvalid, readable(params.ServerUri, 100))
        if not channel.secured:
            return b""  # Certificate and nonce of a client without security prove nothing and are not looked at.
        if channel.peer is None:
            raise ServiceFaultError(Codes.BadCertificateInvalid, "channel has no client certificate")
        certificate: bytes = params.ClientCertificate or b""
        try:
            if split_chain(certificate)[0] != channel.peer.der:
                raise ServiceFaultError(Codes.BadCertificateInvalid, "not the certificate of the channel")
            channel.check_nonce(params.ClientNonce)
            check_application_uri(channel.peer, params.ClientDescription.ApplicationUri)
        except (CertificateRefusedError, ChannelError) as error:
            raise ServiceFaultError(error.code, error.detail) from error
        return certificate

    async def activate(self, _: None, params: Any, request: RequestContext) -> Any:
        """ActivateSession: proves possession of the client's key, then the user's identity."""
        context, channel = self._context, request.channel
        session = context.sessions.find(request.header.AuthenticationToken)
        if session is None or (not session.activated and session.channel is not request.connection):
            raise ServiceFaultError(Codes.BadSessionIdInvalid, "no session with this token on this channel")
        moving = session.channel is not request.connection
        nonce = session.nonce
        try:
            if moving:
                self._check_move(session, channel)
            await self._check_client_signature(session, channel, params.ClientSignature, request)
            user = await identify(
                context,
                session,
                channel,
                request.connection.address,
                params.UserIdentityToken,
                params.UserTokenSignature,
            )
            self._check_after_wait(session, request, user, moving, nonce)
        except ServiceFaultError as error:
            context.sessions.activation_failed(session)
            context.audit("ActivateSession", False, _claimed_name(params.UserIdentityToken), request.peer, str(error))
            context.log.complain(
                request.connection.address, f"activation refused with {code_name(error.code)}", error.detail
            )
            raise
        locales = tuple(readable(text, 32) for text in (params.LocaleIds or [])[: context.limits.locale_ids])
        session.peer = request.peer
        token = params.UserIdentityToken
        session.user_certificate = (token.CertificateData or b"") if isinstance(token, ua.X509IdentityToken) else b""
        response: Any = ua.ActivateSessionResponse()
        response.Parameters.ServerNonce = context.sessions.activated(session, request.connection, user, locales)
        request.connection.session_activated(session)
        session.audit("ActivateSession", True, "moved to a new channel" if moving else session.name)
        return response

    def _check_move(self, session: Session, channel: SecureChannel) -> None:
        thumbprint = channel.peer.thumbprint if channel.peer else ""
        here = (channel.policy_uri, channel.mode, thumbprint)
        if here != (session.identity.policy_uri, session.identity.mode, session.identity.thumbprint):
            raise ServiceFaultError(Codes.BadSecurityChecksFailed, "other security than the session's first channel")

    async def _check_client_signature(
        self, session: Session, channel: SecureChannel, signature: Any, request: RequestContext
    ) -> None:
        if not channel.secured:
            return
        if signature is None or signature.Algorithm not in (None, "", channel.policy.AsymmetricSignatureURI):
            raise ServiceFaultError(Codes.BadApplicationSignatureInvalid, "algorithm is not that of the policy")
        try:
            await self._context.in_pool(
                channel.policy.asymmetric_cryptography.Verifier.verify,
                self._context.own.der + session.nonce,
                signature.Signature or b"",
            )
        except (InvalidSignature, uacrypto.InvalidSignature, ValueError):
            raise ServiceFaultError(Codes.BadApplicationSignatureInvalid, "client signature") from None

    def _check_after_wait(
        self, session: Session, request: RequestContext, user: User, moving: bool, nonce: bytes
    ) -> None:
        # Checking took a while: session and connection may be gone, or the session may have moved in between.
        if session.closed or not request.connection.alive:
            raise ServiceFaultError(Codes.BadSessionIdInvalid, "session ended meanwhile")
        if session.nonce != nonce or moving != (session.channel is not request.connection):
            raise ServiceFaultError(Codes.BadSessionIdInvalid, "session moved meanwhile")
        if moving and session.activated and session.user.name != user.name:
            raise ServiceFaultError(Codes.BadIdentityChangeNotSupported, "another user on another channel")

    async def close(self, _: None, params: Any, request: RequestContext) -> Any:
        """CloseSession; also allowed before activation (OPC 10000-4, 5.7.4)."""
        session = self._context.sessions.find(request.header.AuthenticationToken)
        if session is None or session.channel is not request.connection:
            raise ServiceFaultError(Codes.BadSessionIdInvalid, "no session with this token on this channel")
        self._context.sessions.close(
            session, delete_subscriptions=bool(params.DeleteSubscriptions), reason="by the client"
        )
        return ua.CloseSessionResponse()

    async def cancel(self, session: Session, params: Any, request: RequestContext) -> Any:
        """Cancel: the connection has taken queued requests out already; service sets give back what they hold."""
        handle = int(params.RequestHandle)
        response: Any = ua.CancelResponse()
        response.Parameters.CancelCount = request.connection.cancel_requests(session, handle) + sum(
            callback(session, handle) for callback in list(session.on_cancel)
        )
        return response


def _claimed_name(token: Any) -> str:
    return readable(token.UserName, 64) if isinstance(token, ua.UserNameIdentityToken) else ""

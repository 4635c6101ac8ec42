"""TransferSubscriptions: a session takes over what another one, or one that is gone, has subscribed."""

from asyncua import ua

from server.opcua import wire
from server.opcua.errors import ServiceFaultError
from server.opcua.publishing.registry import Registry
from server.opcua.publishing.subscription import Owner
from server.opcua.session import Session

Codes = ua.StatusCodes


def transfer(registry: Registry, session: Session, number: int, initial_values: bool) -> tuple[int, ...]:
    """Take a subscription over; its available sequence numbers (OPC 10000-4, 5.14.7).

    Raises:
        ServiceFaultError: BadSubscriptionIdInvalid, BadNothingToDo, BadUserAccessDenied, BadTooManySubscriptions.
    """
    found, queue = registry.find(number), registry.queue_of(session)
    if found is None:
        raise ServiceFaultError(Codes.BadSubscriptionIdInvalid, f"subscription {number}")
    if found.queue is queue:
        raise ServiceFaultError(Codes.BadNothingToDo, "is this session's own")
    owner = Owner.of(session)
    if not owner.may_take_over(found.owner):
        raise ServiceFaultError(Codes.BadUserAccessDenied, f"subscription {number} is another user's")
    registry.check_room(queue)
    if queue.items + len(found.items) > registry.limits.monitored_items_per_session:
        raise ServiceFaultError(Codes.BadTooManySubscriptions, "too many monitored items in this session")
    old = found.queue
    if old is not None:
        old.leave(found)
        old.tell(found, Codes.GoodSubscriptionTransferred)
        old.settle()
    found.owner = owner
    found.touch()
    queue.join(found)
    registry.rouse()
    now = wire.now_ticks()
    if owner.roles != found.items.roles:
        found.items.new_user(owner.roles, now)
    if initial_values:
        found.items.resend(now)
    return tuple(found.sent)

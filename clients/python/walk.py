"""Walks a card order from the quote to the refund, and lists with filters, with the client that openapi-python-client
makes of the API's description. Takes the JSON line that `dabba serve --demo --json` prints."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dabba_client import AuthenticatedClient
from dabba_client.api.commands import accept_order, deliver_order, mark_order_ready, refund_order
from dabba_client.api.menus import get_menu
from dabba_client.api.orders import get_order, list_order_events, list_orders, place_order, quote
from dabba_client.models import (
    Acceptance,
    Cart,
    CartLine,
    FulfilmentCollection,
    FulfilmentKind,
    Order,
    OrderEventAccepted,
    OrderEventPlaced,
    OrderEventRefunded,
    OrderRequest,
    OrderStatus,
    PaymentMethod,
    PaymentStatus,
    Problem,
    ProblemCode,
    RefundLine,
    RefundReason,
    RefundRequest,
    RefundStatus,
)
from dabba_client.types import Unset

T = TypeVar("T")


def ok(answer: T | Problem | None) -> T:
    """Returns the answer, or fails with the problem."""
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


def until(client: AuthenticatedClient, order_id: str, is_so: Callable[[Order], bool]) -> Order:
    """Polls the order until it is so."""
    deadline = time.monotonic() + 30
    while True:
        order = ok(get_order.sync(order_id, client=client))
        assert isinstance(order, Order)
        if is_so(order):
            return order
        assert time.monotonic() < deadline, order
        time.sleep(0.1)


def first_refund_is_paid(order: Order) -> bool:
    refunds = order.payment.refunds
    return not isinstance(refunds, Unset) and len(refunds) > 0 and refunds[0].status == RefundStatus.PAID


def main() -> None:
    demo = json.loads(Path(sys.argv[1]).read_text())
    customer = AuthenticatedClient(base_url=demo["address"], token=demo["tokens"]["customer"])
    staff = AuthenticatedClient(base_url=demo["address"], token=demo["tokens"]["restaurant"])
    restaurant = demo["restaurant_id"]
    stamp = time.time_ns()
    lines = [CartLine(item="cardamom-tea", quantity=2)]

    menu = ok(get_menu.sync(restaurant, client=customer))
    tea = next(item for category in menu.categories for item in category.items if item.id == "cardamom-tea")
    assert tea.availability.status == "available"

    cart = Cart(lines=lines, fulfilment=FulfilmentKind.COLLECTION, payment_method=PaymentMethod.CARD)
    priced = ok(quote.sync(restaurant, client=customer, body=cart))
    assert priced.amounts.subtotal == 2 * tea.price_minor

    request = OrderRequest(
        lines=lines,
        fulfilment=FulfilmentCollection(type_="collection"),
        payment_method=PaymentMethod.CARD,
        payment_token="tok_succeed",
        expected_total=priced.amounts.total,
    )
    placed = ok(place_order.sync(restaurant, client=customer, body=request, idempotency_key=f"python-{stamp}"))
    until(customer, placed.id, lambda order: order.status == OrderStatus.CONFIRMED)

    ok(accept_order.sync(placed.id, client=staff, body=Acceptance(preparation_minutes=5)))
    ok(mark_order_ready.sync(placed.id, client=staff))
    ok(deliver_order.sync(placed.id, client=staff))
    until(customer, placed.id, lambda order: order.payment.status == PaymentStatus.CAPTURED)

    refund = RefundRequest(reason=RefundReason.MISSING_ITEM, lines=[RefundLine(line=0, quantity=1)])
    ok(refund_order.sync(placed.id, client=staff, body=refund, idempotency_key=f"python-refund-{stamp}"))
    refunded = until(customer, placed.id, first_refund_is_paid)
    assert refunded.payment.status == PaymentStatus.PARTIALLY_REFUNDED

    events = ok(list_order_events.sync(placed.id, client=customer, limit=100)).events
    # Each role sees the members that are meant for it. A customer sees amounts.
    placing = events[0]
    assert isinstance(placing, OrderEventPlaced) and not isinstance(placing.data.amounts, Unset)
    assert placing.data.amounts.total == priced.amounts.total
    accepted = next(event for event in events if isinstance(event, OrderEventAccepted))
    assert accepted.data.preparation_minutes == 5
    given_back = next(event for event in events if isinstance(event, OrderEventRefunded))
    assert not isinstance(given_back.data, Unset)
    assert given_back.data.amount == refunded.payment.refunded

    statuses = [OrderStatus.DELIVERED, OrderStatus.CANCELLED]
    listed = ok(list_orders.sync(client=customer, status=statuses, limit=100)).orders
    assert any(order.id == placed.id for order in listed)
    assert all(order.status in statuses for order in listed)

    wrong = list_orders.sync(client=customer, limit=1000)
    assert isinstance(wrong, Problem) and wrong.code == ProblemCode.BAD_REQUEST, wrong

    told = ", ".join(event.type_ for event in events)
    print(f"Python: order {placed.id} walked to its refund: {told}")


if __name__ == "__main__":
    main()

# %% [markdown]
# # An order's life, from Python
#
# Cells as notebooks know them: run it whole (`python -m clients.python.example 127.0.0.1:50051`), or cell by cell in
# an editor that reads `# %%`. It talks to a running service (`make serve`), with an order id of its own each time.

# %%
import sys
import uuid
from datetime import UTC, datetime, timedelta

from clients.python import ChannelSettings, Client, InvalidRequest, Outcome, Retries, new_order
from clients.python.messages import fill, market, terminal, working

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
settings = ChannelSettings(address=address, timeout_s=5.0, retries=Retries(attempts=4))
client = Client(settings=settings)

# %% [markdown]
# ## What should we do with 40,000 AIG?
# In the morning of the session after tomorrow's 08:00 UTC, so that this works at whatever hour it runs.

# %%
order_id = f"example-{uuid.uuid4().hex[:12]}"
tomorrow = (datetime.now(tz=UTC) + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
order = new_order(
    order_id, "AIG", "BUY", 40_000, objective="BALANCED_EXECUTION", urgency="NORMAL",
    constraints={"max_participation_rate": 0.2}, market_context={"time_of_day": "MORNING"}, effective_time=tomorrow,
)  # fmt: skip
decision = client.recommend(order)
strategy, expected = decision.recommended_strategy, decision.expected_outcomes
print(f"{strategy.strategy_name}: {expected.estimated_cost * 1e4:.1f} bps, {decision.confidence:.0%} sure")
print(decision.strategy_rationale)
for venue, share in sorted(strategy.venue_allocation.items(), key=lambda pair: -pair[1]):
    print(f"  {venue} {share:.0%}")

# %% [markdown]
# ## A refusal names everything that is wrong

# %%
try:
    client.recommend(new_order(order_id, "NO_SUCH", "BUY", -1.0))
except InvalidRequest as refusal:
    for violation in refusal.violations:
        print("refused:", violation)

# %% [markdown]
# ## It trades; the market turns
# `adapt` is a session: it survives cuts, and goes on from the last number that the service acknowledged.

# %%
price = decision.resolved_inputs.mid_price
with client.adapt() as session:
    session.follow(order_id, request=order)
    session.send(order_id, working(5_000))
    session.send(order_id, fill("execution-1", 2_000, price))
    last = session.send(
        order_id, market(current_conditions="MARKET_CONDITION_TRENDING", short_term_alpha_bps_per_day=400.0)
    )
    session.wait_acknowledged(order_id, last)
    for advice in session.wait_answer(timeout_s=20.0):
        print(f"advice {advice.advice_number}: {advice.rationale}")
    session.wait_acknowledged(order_id, session.send(order_id, terminal("CANCELLED")))
    print("to go on in another process:", session.checkpoint(order_id))

# %% [markdown]
# ## How it stands, and how it ended

# %%
status = client.status(order_id)
print(f"filled {status.progress.filled_quantity:,.0f} of {status.progress.parent_quantity:,.0f}")
receipt = client.report_outcome(
    order_id, Outcome(cost=0.0007, time_minutes=30, filled_quantity=2_000, average_price=price)
)
print(f"score {receipt.performance_score:.2f}")

# %% [markdown]
# ## How strategies did

# %%
today = datetime.now(tz=UTC).date()
report = client.performance(today - timedelta(days=30), today)
for line in report.by_strategy:
    print(f"{line.label}: {line.orders_executed} orders, {line.avg_cost * 1e4:.1f} bps")

# %% [markdown]
# ## What happened, as events

# %%
cursors: dict[str, int] = {}
for event in client.stream_events(cursors, heartbeat_s=1):
    kind = event.WhichOneof("payload")
    if getattr(getattr(event, kind), "order_id", "") == order_id:
        print("event:", kind)
        if kind == "execution_outcome_reported":
            break

client.close()

from dataclasses import dataclass
@dataclass(frozen=True, slots=True)
class TypicalMarket:
    daily_volatility_fraction: float
    spread_bps: float
    volume_per_minute_shares: float
    minutes_per_day: float

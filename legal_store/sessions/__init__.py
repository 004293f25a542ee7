"""Sessions: `from legal_store import session_manager`. Nothing connects before the first use."""

from legal_store.sessions.manager import SessionManager, Ticket
from legal_store.sessions.records import Session, SessionInfo

session_manager = SessionManager()

__all__ = ["Session", "SessionInfo", "SessionManager", "Ticket", "session_manager"]

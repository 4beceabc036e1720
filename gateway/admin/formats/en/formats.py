"""How the admin shows moments, in UTC; Django's own for English leave the seconds out."""

DATE_FORMAT, TIME_FORMAT, DATETIME_FORMAT = "Y-m-d", "H:i:s", "Y-m-d H:i:s"

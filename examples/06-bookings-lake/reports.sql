-- Bookings per salon
select salon_id, count(*) as booked, count(distinct user_id) as customers, min(booking_date) as first, max(booking_date) as last
from bookings group by salon_id order by salon_id;

-- The busiest hours of each salon
select salon_id, hour(booking_date) as hour, count(*) as booked
from bookings group by salon_id, hour(booking_date)
qualify row_number() over (partition by salon_id order by booked desc, hour) <= 3
order by salon_id, booked desc, hour;

-- Who works most
select salon_id, employee_id, count(*) as booked,
  round(100 * count(*) / sum(count(*)) over (partition by salon_id), 1) as percent
from bookings group by salon_id, employee_id order by salon_id, booked desc, employee_id;

-- The schema of the files
select column_name, column_type from (describe bookings);
